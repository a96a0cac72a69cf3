import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTVerifyGetKey } from "jose";
import { z } from "zod";
import type { Logger } from "../logger.ts";

export interface IssuerKeysOptions {
  /** As it stands in tokens, and as the issuer calls itself. */
  readonly issuer: string;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly patience?: Partial<IssuerPatience>;
}

/** In milliseconds. */
export interface IssuerPatience {
  /** Until a question to the issuer is given up. Default 5 s. */
  readonly answerMs: number;
  /** After an answer without the key that was looked for: tokens of made-up keys can't make us flood the issuer. Default 30 s. */
  readonly unknownKeyMs: number;
  /** After a question that failed. Default 5 s. */
  readonly retryMs: number;
  /** For how long keys are taken without asking again. Default 10 minutes. */
  readonly freshMs: number;
  /** For how much longer they are taken while the issuer can't be asked. Default 1 hour. */
  readonly staleMs: number;
}

const PATIENCE: IssuerPatience = {
  answerMs: 5_000,
  unknownKeyMs: 30_000,
  retryMs: 5_000,
  freshMs: 600_000,
  staleMs: 3_600_000,
};

/** Nobody can say whether a token is good: its issuer does not answer, or not as OpenID Connect has it. */
export class IssuerUnreachable extends Error {
  override readonly name = "IssuerUnreachable";
}

export interface IssuerKeys {
  /** The public key that a token names. Throws `IssuerUnreachable`, or jose's errors where the issuer has no such key. */
  readonly find: JWTVerifyGetKey;
  /** Asks the issuer before the first token comes, so that the log says what is wrong with it. Never throws. */
  warmUp(): Promise<void>;
}

type RemoteKeys = ReturnType<typeof createRemoteJWKSet>;

/**
 * The signing keys of an OpenID Connect issuer: found by its discovery document, kept, and asked for again when a token names
 * one that is not among them (the issuer has rotated its keys), or when they are old. While the issuer is away, tokens of keys
 * that are known are still taken, for a while and without waiting.
 */
export function createIssuerKeys({ issuer, logger, clock, ...options }: IssuerKeysOptions): IssuerKeys {
  const patience = { ...PATIENCE, ...options.patience };
  let discovered: Promise<RemoteKeys> | undefined;
  /** Those of the last answer. */
  let known: { readonly keys: RemoteKeys; readonly at: number } | undefined;
  /** Set from a question that failed to the next answer. */
  let failure: { readonly reason: string; readonly at: number } | undefined;

  /** Asks the issuer where that is due. */
  async function ask<T>(question: (keys: RemoteKeys) => Promise<T>): Promise<T> {
    if (failure) failure = { ...failure, at: clock() };
    const asked = (discovered ??= discover(issuer, patience));
    try {
      const keys = await asked;
      const answer = await question(keys).catch((error: unknown) => {
        if (hasAnswered(error)) answered(keys);
        throw error;
      });
      answered(keys);
      return answer;
    } catch (error) {
      if (hasAnswered(error)) throw error;
      // It may have moved its keys: the next question begins anew.
      if (discovered === asked) discovered = undefined;
      const reason = reasonOf(error, patience);
      if (failure?.reason !== reason)
        logger.warn({ issuer, reason }, "the issuer of tokens can't be asked for its keys");
      failure = { reason, at: clock() };
      throw new IssuerUnreachable(reason, { cause: error });
    }
  }

  function answered(keys: RemoteKeys): void {
    known = { keys, at: clock() };
    if (failure) logger.info({ issuer }, "the issuer of tokens answers again");
    failure = undefined;
  }

  function remembered(): JWTVerifyGetKey | undefined {
    const jwks = known && clock() - known.at < patience.freshMs + patience.staleMs ? known.keys.jwks() : undefined;
    return jwks && createLocalJWKSet(jwks);
  }

  return {
    find: async (header, token) => {
      const last = remembered();
      if (failure === undefined || clock() - failure.at >= patience.retryMs) {
        const asking = ask((keys) => keys(header, token));
        // After a first failure nobody waits for the next one who need not.
        if (failure === undefined || last === undefined) {
          try {
            return await asking;
          } catch (error) {
            if (!(error instanceof IssuerUnreachable) || last === undefined) throw error;
          }
        } else asking.catch(() => {});
      }
      const unreachable = new IssuerUnreachable(failure?.reason);
      if (last === undefined) throw unreachable;
      try {
        return await last(header, token);
      } catch {
        // A key that is not among those may be a new one.
        throw unreachable;
      }
    },
    warmUp: async () => {
      await ask((keys) => keys.reload()).catch(() => {});
    },
  };
}

const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });

async function discover(issuer: string, patience: IssuerPatience): Promise<RemoteKeys> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "manual",
    signal: AbortSignal.timeout(patience.answerMs),
  });
  if (response.status !== 200) throw new Error(`${url} answers with status ${response.status}`);
  const body = discoverySchema.safeParse(await response.json().catch(() => undefined));
  if (!body.success) throw new Error(`${url} is no discovery document of OpenID Connect`);
  const { issuer: named, jwks_uri: jwksUri } = body.data;
  if (named !== issuer)
    throw new Error(`${url} is of the issuer ${JSON.stringify(named)}: STIGMER_OIDC_ISSUER must be exactly that`);
  if (issuer.startsWith("https:") && !jwksUri.startsWith("https:"))
    throw new Error(`${url} names keys without TLS: ${jwksUri}`);
  return createRemoteJWKSet(new URL(jwksUri), {
    timeoutDuration: patience.answerMs,
    cooldownDuration: patience.unknownKeyMs,
    cacheMaxAge: patience.freshMs,
  });
}

/** Whether the issuer's keys were read, and the trouble is with the token. */
function hasAnswered(error: unknown): boolean {
  return error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys;
}

function reasonOf(error: unknown, { answerMs }: IssuerPatience): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError" || error instanceof errors.JWKSTimeout)
    return `no answer within ${answerMs / 1000} s`;
  // Node's fetch keeps to itself what happened.
  const { cause } = error;
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0], PATIENCE);
  return error.message === "fetch failed" && cause instanceof Error ? cause.message : error.message;
}
