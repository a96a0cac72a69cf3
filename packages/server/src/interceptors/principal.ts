import { createHash, timingSafeEqual } from "node:crypto";
import {
  Code,
  ConnectError,
  createContextKey,
  type ContextKey,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";

/** Who makes a call. */
export interface Principal {
  /** Stands in audit fields. */
  readonly id: string;
  /** The organisation that names without one belong to. */
  readonly org: string;
}

/** Turns a bearer token into the caller, or undefined when it is not one of ours. The one place where a principal is made. */
export type Authenticator = (token: string) => Principal | undefined;

const principalKey: ContextKey<Principal | undefined> = createContextKey<Principal | undefined>(undefined, {
  description: "the call's principal",
});

/** Services that answer without a key: they tell nothing about what is stored. */
const PUBLIC_SERVICES: ReadonlySet<string> = new Set(["grpc.health.v1.Health"]);

/** Refuses calls without a valid key (UNAUTHENTICATED) and gives handlers the caller through `principalOf`. */
export function authenticate(authenticator: Authenticator): Interceptor {
  return (next) => async (request) => {
    if (PUBLIC_SERVICES.has(request.service.typeName)) return next(request);
    const header = request.header.get("authorization") ?? "";
    const token = /^bearer (.+)$/i.exec(header)?.[1];
    if (token === undefined) {
      throw new ConnectError("no API key: send the header `authorization: Bearer <key>`", Code.Unauthenticated);
    }
    const principal = authenticator(token);
    if (!principal) throw new ConnectError("the API key is not valid for this server", Code.Unauthenticated);
    request.contextValues.set(principalKey, principal);
    return next(request);
  };
}

/** The caller of the request being handled. */
export function principalOf(context: Pick<HandlerContext, "values">): Principal {
  const principal = context.values.get(principalKey);
  if (!principal) throw new ConnectError("the call was not authenticated", Code.Unauthenticated);
  return principal;
}

/**
 * Local mode: whoever can read the key file owns the server.
 * `allowDummyKey` also takes the literal `dummy-local-key` of older local clients.
 */
export function localAuthenticator(options: { key: string; allowDummyKey?: boolean }): Authenticator {
  const owner: Principal = { id: "local", org: "local" };
  const keys = options.allowDummyKey ? [options.key, "dummy-local-key"] : [options.key];
  return (token) => (keys.some((key) => sameSecret(key, token)) ? owner : undefined);
}

/** Compares in a time that depends on neither value. */
function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
