import { createHash, timingSafeEqual } from "node:crypto";
import {
  Code,
  ConnectError,
  createContextKey,
  type ContextKey,
  type ContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import type { PrincipalRole } from "./role.ts";

/** Who makes a call. */
export interface Principal {
  /** Stands in audit fields. */
  readonly id: string;
  /** The organisation that names without one belong to, and in cloud mode all that the caller may see. Empty for runners. */
  readonly org: string;
  /** What the caller may do there. */
  readonly role: PrincipalRole;
  /** Until when what the caller shows is good, in milliseconds since 1970. Undefined: until it is taken back. */
  readonly expiresAt?: number;
  /** Of a runner: the run that the call is made for, which it holds. */
  readonly holds?: HeldRun;
}

/** A run in the hands of a runner. */
export interface HeldRun {
  readonly executionId: string;
  readonly fence: number;
  readonly org: string;
  readonly sessionId: string;
}

/**
 * Turns a bearer token into the caller, or undefined when it is not one of ours; throws UNAUTHENTICATED when it is one that
 * is not good any more. The one place where a principal is made.
 */
export type Authenticator = (token: string) => Promise<Principal | undefined>;

/** Who can read the key file of a local server. */
export const LOCAL_OWNER: Principal = { id: "local", org: "local", role: "owner" };

const principalKey: ContextKey<Principal | undefined> = createContextKey<Principal | undefined>(undefined, {
  description: "the call's principal",
});

const boundKey: ContextKey<Principal | undefined> = createContextKey<Principal | undefined>(undefined, {
  description: "the call's principal as it may act in this call",
});

/** Services that answer without a key: they tell nothing about what is stored. */
const PUBLIC_SERVICES: ReadonlySet<string> = new Set(["grpc.health.v1.Health"]);

/** Whether a service answers whoever asks. */
export function isPublic({ typeName }: { readonly typeName: string }): boolean {
  return PUBLIC_SERVICES.has(typeName);
}

/** Looks at a call before its body is read; what it throws is the call's answer. */
export type RequestGate = (context: HandlerContext) => Promise<void>;

/**
 * Refuses calls without a valid key (UNAUTHENTICATED) and gives handlers the caller through `principalOf`. It is a gate: a body
 * of 110 MB costs a stranger nothing to send and us its memory to read.
 */
export function authenticate(authenticator: Authenticator): RequestGate {
  return async ({ service, requestHeader, values }) => {
    if (isPublic(service)) return;
    const token = bearerOf(requestHeader);
    if (token === undefined) {
      throw new ConnectError("no API key: send the header `authorization: Bearer <key>`", Code.Unauthenticated);
    }
    const principal = await authenticator(token);
    if (!principal) throw new ConnectError("the API key is not valid for this server", Code.Unauthenticated);
    authenticated(values, principal);
  };
}

/** What a call shows as its key. */
export function bearerOf(header: Headers): string | undefined {
  return /^bearer (.+)$/i.exec(header.get("authorization") ?? "")?.[1];
}

/**
 * From now on the call is this caller's.
 *
 * @internal
 */
export function authenticated(values: ContextValues, caller: Principal): void {
  values.set(principalKey, caller);
}

/** Gates one behind the other: the first refusal counts. */
export function inOrder(...gates: readonly RequestGate[]): RequestGate {
  return async (context) => {
    for (const gate of gates) await gate(context);
  };
}

/** Who made the call, before it is known for what; undefined when nobody had to say who they are. */
export function callerOf(values: ContextValues): Principal | undefined {
  return values.get(principalKey);
}

/** Narrows what the caller may do in this call. */
export function bindPrincipal(values: ContextValues, principal: Principal): void {
  values.set(boundKey, principal);
}

/** The caller of the request being handled, as it may act in it. */
export function principalOf(context: Pick<HandlerContext, "values">): Principal {
  const principal = context.values.get(boundKey) ?? callerOf(context.values);
  if (!principal) throw new ConnectError("the call was not authenticated", Code.Unauthenticated);
  return principal;
}

/**
 * Local mode: whoever can read the key file owns the server.
 * `allowDummyKey` also takes the literal `dummy-local-key` of older local clients.
 */
export function localAuthenticator(options: { key: string; allowDummyKey?: boolean }): Authenticator {
  const keys = options.allowDummyKey ? [options.key, "dummy-local-key"] : [options.key];
  const digests = keys.map(digestOf);
  return async (token) => {
    const digest = digestOf(token);
    return digests.some((each) => timingSafeEqual(each, digest)) ? LOCAL_OWNER : undefined;
  };
}

/** What API keys that the server makes begin with. */
export const API_KEY_PREFIX = "stk_";

/** What is kept of an API key: who has the key itself can't be told from it. */
export function hashOfApiKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/** A key that somebody made with the API. */
export interface StoredApiKey {
  /** Who made it: calls with it are made in their name. */
  readonly owner: string;
  readonly org: string;
  readonly role: PrincipalRole;
  /** Milliseconds since 1970; undefined: good until it is deleted. */
  readonly expiresAt: number | undefined;
}

export interface ApiKeyBook<K extends StoredApiKey = StoredApiKey> {
  /** Looks for a key by its hash, every time, not before it is asked: one that was deleted is refused by every server at once. */
  find(hash: string): Promise<K | undefined>;
  /** A call comes with the key. Takes no time of the call's. */
  used(key: K): void;
}

/** Takes the keys that were made with the API, until they expire or are deleted. `clock`: milliseconds since 1970. */
export function apiKeyAuthenticator<K extends StoredApiKey>(book: ApiKeyBook<K>, clock: () => number): Authenticator {
  return async (token) => {
    if (!token.startsWith(API_KEY_PREFIX)) return undefined;
    const key = await book.find(hashOfApiKey(token));
    if (!key)
      throw new ConnectError(
        "the API key is not known here: it was deleted, or is another server's",
        Code.Unauthenticated,
      );
    if (key.expiresAt !== undefined && key.expiresAt <= clock()) {
      throw new ConnectError(
        `the API key has expired on ${new Date(key.expiresAt).toISOString()}: make another`,
        Code.Unauthenticated,
      );
    }
    book.used(key);
    return { id: key.owner, org: key.org, role: key.role, expiresAt: key.expiresAt };
  };
}

/** Asks one after the other. A runner is of no organisation, wherever its key was made. */
export function firstOf(...authenticators: readonly Authenticator[]): Authenticator {
  return async (token) => {
    for (const authenticator of authenticators) {
      const principal = await authenticator(token);
      if (principal) return principal.role === "runner" ? { ...principal, org: "" } : principal;
    }
    return undefined;
  };
}

/** Of one length, so that two of them are compared in a time that depends on neither. */
function digestOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
