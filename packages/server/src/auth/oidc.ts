import { Code, ConnectError } from "@connectrpc/connect";
import { isSlug } from "@stigmer/protos";
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from "jose";
import type { Authenticator, Principal } from "../interceptors/principal.ts";
import type { Logger } from "../logger.ts";
import { createIssuerKeys, IssuerUnreachable, type IssuerPatience } from "./issuer-keys.ts";

/** Whose tokens are taken, and what they say of their bearer. */
export interface OidcOptions {
  /** Exactly as it stands in tokens (`iss`). Its keys are found at `<issuer>/.well-known/openid-configuration`. */
  readonly issuer: string;
  /** Whom a token must be made for (`aud`). */
  readonly audience: string;
  /** The claim that names the organisation. Dots lead into objects, where no claim has the whole name. Default `org`. */
  readonly orgClaim?: string;
  /** The claim that names the role, or a list with roles in it: the strongest holds. Default `role`. */
  readonly roleClaim?: string;
}

export interface OidcAuthenticatorOptions extends OidcOptions {
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly patience?: Partial<IssuerPatience>;
}

/** By how many seconds the issuer's clock and ours may differ. */
const CLOCK_TOLERANCE_S = 30;

/** Whoever can check a signature of another kind can also make it. */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];

/** Strongest first. `runner` is none of them: a runner is a program of the installation's, with an API key. */
const ROLES = ["owner", "member", "viewer"] as const;

/**
 * Takes JSON Web Tokens of one OpenID Connect issuer. Starts to ask the issuer at once, and waits for it with the tokens alone: a
 * server starts without it. Throws UNAUTHENTICATED for a token that is not good, PERMISSION_DENIED for one that says too
 * little of its bearer, UNAVAILABLE where the issuer can't be asked.
 */
export function oidcAuthenticator(options: OidcAuthenticatorOptions): Authenticator {
  const { issuer, audience, clock, logger } = options;
  const keys = createIssuerKeys({ issuer, logger, clock, patience: options.patience });
  void keys.warmUp();

  return async (token) => {
    if (!isJwt(token)) return undefined;
    refuseForeign(token, issuer);
    try {
      const { payload } = await jwtVerify(token, keys.find, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: new Date(clock()),
        requiredClaims: ["sub", "exp"],
      });
      return principalOf(payload, options);
    } catch (error) {
      throw refusalOf(error, options);
    }
  };
}

/** Three parts, the first of them a JSON object. An API key has no dots. */
function isJwt(token: string): boolean {
  return /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(token);
}

/** What can be said without asking anybody for a key: a stranger's token costs the issuer nothing. */
function refuseForeign(token: string, issuer: string): void {
  let alg: unknown, iss: unknown;
  try {
    ({ alg } = decodeProtectedHeader(token));
    ({ iss } = decodeJwt(token));
  } catch {
    throw unauthenticated("the token is damaged: get another");
  }
  if (typeof alg !== "string" || !ALGORITHMS.includes(alg)) {
    throw unauthenticated(`the token is signed by ${show(alg)}: this server takes ${ALGORITHMS.join(", ")}`);
  }
  if (iss !== issuer)
    throw unauthenticated(`the token was issued by ${show(iss)}: this server takes those of ${show(issuer)}`);
}

function refusalOf(error: unknown, { issuer, audience }: OidcOptions): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof IssuerUnreachable) {
    const text = `the token can't be checked now, its issuer ${issuer} can't be asked for its keys (${error.message}): try again later`;
    return new ConnectError(text, Code.Unavailable, undefined, undefined, error);
  }
  if (error instanceof errors.JWTExpired) {
    return unauthenticated(`the token has expired on ${timeOf(error.payload.exp)}: get another`);
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, payload } = error;
    if (claim === "aud") {
      return unauthenticated(`the token is for ${show(payload.aud)}: this server takes those for ${show(audience)}`);
    }
    if (claim === "nbf") return unauthenticated(`the token is good from ${timeOf(payload.nbf)} on: is a clock wrong?`);
    return unauthenticated(
      `the token's claim ${show(claim)} is ${payload[claim] === undefined ? "missing" : "not what it must be"}`,
    );
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return unauthenticated(`the token is signed by a key that ${issuer} does not have (any more): get another`);
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return unauthenticated(`the token does not say by which of the issuer's keys it is signed (kid)`);
  }
  if (error instanceof errors.JOSEError) return unauthenticated("the token's signature is wrong: get another");
  throw error;
}

function principalOf(payload: JWTPayload, { orgClaim = "org", roleClaim = "role" }: OidcOptions): Principal {
  const { sub = "", exp = 0 } = payload;
  if (sub === "") throw unauthenticated('the token\'s claim "sub" is empty');
  const [org, ...others] = textsOf(claimOf(payload, orgClaim));
  if (org === undefined || others.length > 0 || !isSlug(org)) {
    const text = `the token names no organization: its claim ${show(orgClaim)} must hold the slug of one (lower-case letters, digits, hyphens)`;
    throw new ConnectError(text, Code.PermissionDenied);
  }
  const roles = textsOf(claimOf(payload, roleClaim));
  const role = ROLES.find((known) => roles.includes(known));
  if (role === undefined) {
    const instead = roles.includes("runner") ? "; runners call with an API key" : "";
    const text = `the token names no role: its claim ${show(roleClaim)} must hold owner, member or viewer${instead}`;
    throw new ConnectError(text, Code.PermissionDenied);
  }
  return { id: `oidc:${sub}`, org, role, expiresAt: (exp + CLOCK_TOLERANCE_S) * 1000 };
}

/** A claim by its name, as `https://example.com/org`, or by its path, as `realm_access.roles`. */
function claimOf(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  return name.split(".").reduce<unknown>((value, key) => {
    return typeof value === "object" && value !== null && Object.hasOwn(value, key)
      ? (value as JWTPayload)[key]
      : undefined;
  }, payload);
}

function textsOf(claim: unknown): string[] {
  return (Array.isArray(claim) ? claim : [claim]).filter((value) => typeof value === "string" && value !== "");
}

function unauthenticated(message: string): ConnectError {
  return new ConnectError(message, Code.Unauthenticated);
}

function timeOf(seconds: number | undefined): string {
  // What is no time that a date can tell is still what the issuer wrote.
  const date = new Date((seconds ?? 0) * 1000);
  return Number.isNaN(date.valueOf()) ? String(seconds) : date.toISOString();
}

/** As it stands in the token, unless somebody has put a novel there. */
function show(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
