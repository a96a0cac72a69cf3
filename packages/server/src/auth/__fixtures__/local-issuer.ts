import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT, type JWK } from "jose";

/** How the issuer answers. */
export type Mood = "well" | "broken" | "silent" | "moved";

export interface SignOptions {
  /** Default ES256, whose keys are made in no time. */
  readonly alg?: "RS256" | "ES256" | "EdDSA";
  readonly kid?: string;
  /** Default: the issuer's present key. */
  readonly key?: CryptoKey;
}

/** An OpenID Connect issuer of this process. */
export interface LocalIssuer extends AsyncDisposable {
  readonly url: string;
  /** How many questions for its keys have come. */
  readonly asked: () => number;
  sign(claims: JWTPayload, options?: SignOptions): Promise<string>;
  /** Signs with another key from now on; the one before is not published any more. */
  rotate(alg?: SignOptions["alg"]): Promise<void>;
  setMood(mood: Mood): void;
  /** What discovery says. Default: the truth. */
  setDiscovery(document: unknown): void;
}

export async function openIssuer(): Promise<LocalIssuer> {
  let mood: Mood = "well";
  let asked = 0;
  let discovery: unknown;
  let count = 0;
  let present: { readonly key: CryptoKey; readonly kid: string; readonly alg: string; readonly jwk: JWK };
  const rotate = async (alg: string = "ES256"): Promise<void> => {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    const kid = `key-${++count}`;
    present = { key: privateKey, kid, alg, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
  };
  await rotate();
  const server = createServer((request, response) => {
    if (request.url === "/keys") asked++;
    if (mood === "silent") return;
    if (mood === "broken") return void response.writeHead(503).end();
    if (mood === "moved") return void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
    if (request.url === "/.well-known/openid-configuration") return answer(response, discovery ?? described());
    if (request.url === "/keys") return answer(response, { keys: [present.jwk] });
    response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const described = (): unknown => ({ issuer: url, jwks_uri: `${url}/keys` });
  return {
    url,
    asked: () => asked,
    sign: (claims, { kid = present.kid, key = present.key, alg = present.alg as SignOptions["alg"] } = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: alg ?? "ES256", kid }).sign(key),
    rotate,
    setMood: (next) => (mood = next),
    setDiscovery: (document) => (discovery = document),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}
