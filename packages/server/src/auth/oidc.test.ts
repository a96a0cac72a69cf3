import { Code, ConnectError } from "@connectrpc/connect";
import { generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { silentLogger, type Logger } from "../logger.ts";
import { openIssuer, type LocalIssuer } from "./__fixtures__/local-issuer.ts";
import { oidcAuthenticator, type OidcOptions } from "./oidc.ts";

let issuer: LocalIssuer;
let now: number;
let logged: string[];
beforeEach(async () => {
  issuer = await openIssuer();
  now = Date.UTC(2026, 10, 21);
  logged = [];
});
afterEach(() => issuer[Symbol.asyncDispose]());

const AUDIENCE = "stigmer";
const inSeconds = (ms: number): number => Math.floor(ms / 1000);
const good = (): JWTPayload => ({
  iss: issuer.url,
  aud: AUDIENCE,
  sub: "ada",
  exp: inSeconds(now) + 300,
  org: "acme",
  role: "member",
});

const logger: Logger = {
  ...silentLogger,
  warn: (fields, message) => void logged.push(`${message}: ${(fields as { reason: string }).reason}`),
  info: (_fields, message) => void logged.push(message),
};

function open(options: Partial<OidcOptions> = {}, patience = {}) {
  return oidcAuthenticator({ issuer: issuer.url, audience: AUDIENCE, logger, clock: () => now, patience, ...options });
}

async function refusalOf(answer: Promise<unknown>): Promise<{ code: Code; text: string }> {
  const error = await answer.catch((caught: unknown) => caught);
  if (!(error instanceof ConnectError)) throw new Error(`taken: ${JSON.stringify(error)}`);
  expect(error.rawMessage).not.toContain("\n");
  return { code: error.code, text: error.rawMessage };
}

describe("a token", () => {
  it.each(["RS256", "ES256", "EdDSA"] as const)("of the issuer, by %s, says who calls", async (alg) => {
    await issuer.rotate(alg);
    const token = await issuer.sign({ ...good(), aud: ["other", AUDIENCE] });
    const expiresAt = ((good().exp ?? 0) + 30) * 1000;
    expect(await open()(token)).toEqual({ id: "oidc:ada", org: "acme", role: "member", expiresAt });
  });

  it.each<[string, Partial<OidcOptions>, JWTPayload, object]>([
    ["the strongest of several roles", {}, { role: ["viewer", "owner", "member", "x"] }, { role: "owner" }],
    ["a role, never a runner's", {}, { role: ["runner", "viewer"] }, { role: "viewer" }],
    [
      "claims in objects",
      { orgClaim: "tenant.slug", roleClaim: "realm_access.roles" },
      { tenant: { slug: "umbrella" }, realm_access: { roles: ["offline_access", "viewer"] } },
      { org: "umbrella", role: "viewer" },
    ],
    [
      "claims that have dots in their names",
      { orgClaim: "https://acme.example.com/org" },
      { "https://acme.example.com/org": ["initech"] },
      { org: "initech" },
    ],
  ])("may carry %s", async (_what, options, claims, expected) => {
    expect(await open(options)(await issuer.sign({ ...good(), ...claims }))).toMatchObject(expected);
  });

  it.each<[string, () => JWTPayload, Code, () => string]>([
    [
      "has expired",
      () => ({ exp: inSeconds(now) - 31 }),
      Code.Unauthenticated,
      () => "the token has expired on 2026-11-20T23:59:29.000Z: get another",
    ],
    [
      "is not good yet",
      () => ({ nbf: inSeconds(now) + 60 }),
      Code.Unauthenticated,
      () => "the token is good from 2026-11-21T00:01:00.000Z on: is a clock wrong?",
    ],
    ["never ends", () => ({ exp: undefined }), Code.Unauthenticated, () => 'the token\'s claim "exp" is missing'],
    ["is nobody's", () => ({ sub: undefined }), Code.Unauthenticated, () => 'the token\'s claim "sub" is missing'],
    ["is of an empty name", () => ({ sub: "" }), Code.Unauthenticated, () => 'the token\'s claim "sub" is empty'],
    [
      "is for another audience",
      () => ({ aud: "console" }),
      Code.Unauthenticated,
      () => 'the token is for "console": this server takes those for "stigmer"',
    ],
    [
      "is for nobody",
      () => ({ aud: undefined }),
      Code.Unauthenticated,
      () => 'the token is for nothing: this server takes those for "stigmer"',
    ],
    [
      "is another issuer's",
      () => ({ iss: "https://accounts.example.com" }),
      Code.Unauthenticated,
      () => `the token was issued by "https://accounts.example.com": this server takes those of "${issuer.url}"`,
    ],
    ...[undefined, "", ["acme", "initech"], "Acme Inc", 7, "../x"].map(
      (org) =>
        [
          `has ${JSON.stringify(org)} for an organization`,
          () => ({ org }),
          Code.PermissionDenied,
          () =>
            'the token names no organization: its claim "org" must hold the slug of one (lower-case letters, digits, hyphens)',
        ] as [string, () => JWTPayload, Code, () => string],
    ),
    ...[undefined, "admin", ["Owner"], {}].map(
      (role) =>
        [
          `has ${JSON.stringify(role)} for a role`,
          () => ({ role }),
          Code.PermissionDenied,
          () => 'the token names no role: its claim "role" must hold owner, member or viewer',
        ] as [string, () => JWTPayload, Code, () => string],
    ),
    [
      "wants to be a runner's",
      () => ({ role: "runner" }),
      Code.PermissionDenied,
      () => 'the token names no role: its claim "role" must hold owner, member or viewer; runners call with an API key',
    ],
    [
      "ended before all time",
      () => ({ exp: -1e300 }),
      Code.Unauthenticated,
      () => "the token has expired on -1e+300: get another",
    ],
  ])("that %s is refused in one line", async (_what, claims, code, text) => {
    const token = await issuer.sign({ ...good(), ...claims() });
    expect(await refusalOf(open()(token))).toEqual({ code, text: text() });
  });

  it("is taken half a minute past its end, for clocks differ", async () => {
    expect(await open()(await issuer.sign({ ...good(), exp: inSeconds(now) - 29 }))).toMatchObject({ id: "oidc:ada" });
  });

  it("without a signature, or signed by what a checker could sign with, is refused", async () => {
    const authenticate = open();
    const none = new UnsecuredJWT(good()).encode();
    expect(await refusalOf(authenticate(none))).toMatchObject({
      code: Code.Unauthenticated,
      text: expect.stringMatching(/^the token is signed by "none": this server takes RS256, /) as string,
    });
    // The old trick: the public key as the secret of an HMAC.
    const secret = new TextEncoder().encode(JSON.stringify(await (await fetch(`${issuer.url}/keys`)).json()));
    const hmac = await new SignJWT(good()).setProtectedHeader({ alg: "HS256", kid: "key-1" }).sign(secret);
    expect((await refusalOf(authenticate(hmac))).text).toMatch(/^the token is signed by "HS256"/);
  });

  it("of another key under the name of the issuer's is refused, and so is one that was changed", async () => {
    const authenticate = open();
    const { privateKey } = await generateKeyPair("ES256");
    const wrong = { code: Code.Unauthenticated, text: "the token's signature is wrong: get another" };
    expect(await refusalOf(authenticate(await issuer.sign(good(), { key: privateKey })))).toEqual(wrong);
    const [head = "", , tail = ""] = (await issuer.sign(good())).split(".");
    const body = Buffer.from(JSON.stringify({ ...good(), role: "owner" })).toString("base64url");
    expect(await refusalOf(authenticate(`${head}.${body}.${tail}`))).toEqual(wrong);
    expect((await refusalOf(authenticate(`${head}.bm8.${tail}`))).text).toBe("the token is damaged: get another");
  });

  it.each(["stk_abc", "ey.x.y", "", "a.b.c", "eyJ.x", `eyJ${"x".repeat(9)}`])(
    "that is none is left to others: %s",
    async (token) => expect(await open()(token)).toBeUndefined(),
  );
});

describe("the issuer's keys", () => {
  it("are asked for once, and again for a key that is not among them: the issuer has rotated", async () => {
    const authenticate = open({}, { unknownKeyMs: 0 });
    const before = await issuer.sign(good());
    await vi.waitFor(() => expect(issuer.asked()).toBe(1));
    for (let call = 0; call < 5; call++) await authenticate(before);
    expect(issuer.asked()).toBe(1);
    await issuer.rotate();
    const after = await issuer.sign(good());
    expect(await authenticate(after)).toMatchObject({ id: "oidc:ada" });
    expect(issuer.asked()).toBe(2);
    const text = `the token is signed by a key that ${issuer.url} does not have (any more): get another`;
    expect(await refusalOf(authenticate(before))).toEqual({ code: Code.Unauthenticated, text });
  });

  it("are not asked for by each of many tokens of made-up keys", async () => {
    const authenticate = open();
    await authenticate(await issuer.sign(good()));
    for (let call = 0; call < 20; call++) {
      const { code } = await refusalOf(authenticate(await issuer.sign(good(), { kid: `made-up-${call}` })));
      expect(code).toBe(Code.Unauthenticated);
    }
    expect(issuer.asked()).toBe(1);
  });

  it.each([
    ["broken", /openid-configuration answers with status 503/],
    ["moved", /openid-configuration answers with status 302/],
    ["silent", /no answer within 0\.05 s/],
  ] as const)("can't be had from one that is %s, which is UNAVAILABLE until it is well again", async (mood, reason) => {
    issuer.setMood(mood);
    const authenticate = open({}, { answerMs: 50, retryMs: 0 });
    const token = await issuer.sign(good());
    for (let call = 0; call < 2; call++) {
      const { code, text } = await refusalOf(authenticate(token));
      expect(code).toBe(Code.Unavailable);
      expect(text).toMatch(/^the token can't be checked now, its issuer http:\/\/\S+ can't be asked for its keys \(/);
      expect(text).toMatch(reason);
    }
    // Told once, not with every token.
    expect(logged).toEqual([expect.stringMatching(/^the issuer of tokens can't be asked for its keys: /)]);
    issuer.setMood("well");
    expect(await authenticate(token)).toMatchObject({ id: "oidc:ada" });
    expect(logged.at(-1)).toBe("the issuer of tokens answers again");
  });

  it("that nobody listens for are told with what the machine says", async () => {
    const token = await issuer.sign(good());
    await issuer[Symbol.asyncDispose]();
    const { code, text } = await refusalOf(open()(token));
    expect([code, text]).toEqual([Code.Unavailable, expect.stringContaining("ECONNREFUSED")]);
  });

  it("are not asked for again right after a question that failed", async () => {
    issuer.setMood("broken");
    const authenticate = open({}, { retryMs: 5_000 });
    const token = await issuer.sign(good());
    await refusalOf(authenticate(token));
    issuer.setMood("well");
    await refusalOf(authenticate(token));
    now += 5_000;
    expect(await authenticate(token)).toMatchObject({ id: "oidc:ada" });
  });

  it("that are known hold while the issuer is away, without waiting for it, but not for ever", async () => {
    const authenticate = open({}, { answerMs: 200, freshMs: 0, staleMs: 60_000, unknownKeyMs: 0, retryMs: 1_000 });
    const token = await issuer.sign({ ...good(), exp: inSeconds(now) + 3600 });
    await authenticate(token);
    issuer.setMood("silent");
    expect(await authenticate(token)).toMatchObject({ id: "oidc:ada" });
    const before = issuer.asked();
    for (let call = 0; call < 20; call++) expect(await authenticate(token)).toMatchObject({ id: "oidc:ada" });
    expect(issuer.asked()).toBe(before);
    // One of a key that is not known may be good: nobody can say.
    const unknown = await issuer.sign(good(), { kid: "new" });
    expect((await refusalOf(authenticate(unknown))).code).toBe(Code.Unavailable);
    now += 60_000;
    expect((await refusalOf(authenticate(token))).code).toBe(Code.Unavailable);
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      "another issuer's",
      () => ({ issuer: "https://x", jwks_uri: `${issuer.url}/keys` }),
      /is of the issuer "https:\/\/x": STIGMER_OIDC_ISSUER must be exactly that/,
    ],
    ["no discovery document", () => ({ keys: [] }), /is no discovery document of OpenID Connect/],
    ["one without its keys", () => ({ issuer: issuer.url, jwks_uri: `${issuer.url}/nowhere` }), /Expected 200 OK/],
  ])("are not taken by a document that is %s", async (_what, document, reason) => {
    issuer.setDiscovery(document());
    const { code, text } = await refusalOf(open()(await issuer.sign(good())));
    expect([code, text]).toEqual([Code.Unavailable, expect.stringMatching(reason)]);
  });
});
