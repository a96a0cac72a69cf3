import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";

/** An OpenID Connect issuer that can be away, and come back at the same address. */
export interface Issuer extends AsyncDisposable {
  readonly url: string;
  /** A token of `sub`, good for an hour unless the claims say otherwise. */
  sign(claims: JWTPayload): Promise<string>;
  /** Signs with a new key from now on, and publishes that alone. */
  rotate(): Promise<void>;
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  const make = async (kid: string): Promise<{ sign: (token: SignJWT) => Promise<string>; jwk: object }> => {
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const header = { alg: "ES256", kid };
    return {
      sign: (token) => token.setProtectedHeader(header).sign(privateKey),
      jwk: { ...(await exportJWK(publicKey)), ...header, use: "sig" },
    };
  };
  let count = 1;
  let key = await make("key-1");
  const server = createServer((request, response) => {
    const documents: Readonly<Record<string, object>> = {
      "/.well-known/openid-configuration": { issuer: url, jwks_uri: `${url}/keys` },
      "/keys": { keys: [key.jwk] },
    };
    const document = documents[request.url ?? ""];
    response.writeHead(document ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(document ?? {}));
  });
  const open = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  await open(0);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    url,
    sign: (claims) =>
      key.sign(new SignJWT({ iss: url, aud: "stigmer", exp: Math.floor(Date.now() / 1000) + 3_600, ...claims })),
    rotate: async () => void (key = await make(`key-${++count}`)),
    goAway: close,
    comeBack: () => open(port),
    [Symbol.asyncDispose]: close,
  };
}
