import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { serve, type Served } from "../http/__fixtures__/serve.ts";
import { StoreError } from "../store/errors.ts";
import { authenticate, type Principal } from "./principal.ts";
import { recheckStreams } from "./recheck-streams.ts";

const ADA: Principal = { id: "ada", org: "acme", role: "member" };

let server: Served;
let now: number;
let looks: number;
/** What the next look at a key says. */
let caller: () => Principal | undefined;
/** Streams that have not ended. */
let open: number;
let says: PromiseWithResolvers<string>;

beforeEach(async () => {
  now = 1_000_000;
  looks = 0;
  open = 0;
  caller = () => ADA;
  says = Promise.withResolvers();
  const authenticator = async (): Promise<Principal | undefined> => {
    looks++;
    return caller();
  };
  server = await serve({
    routes: (router) =>
      router.service(AgentExecutionQueryController, {
        async *subscribe(_request, { signal }) {
          open++;
          const gone = new Promise<string>((resolve) => signal.addEventListener("abort", () => resolve("gone")));
          try {
            yield { kind: "first" };
            while (true) {
              const kind = await Promise.race([says.promise, gone]);
              if (kind === "gone") return;
              says = Promise.withResolvers();
              yield { kind };
            }
          } finally {
            open--;
          }
        },
      }),
    requestGate: authenticate(authenticator),
    interceptors: [recheckStreams({ authenticator, clock: () => now, everyMs: 20 })],
  });
});
afterEach(() => server.close());

function follow(signal?: AbortSignal): AsyncIterator<{ readonly kind: string }> {
  const executions = createClient(AgentExecutionQueryController, server.transport);
  const options = { signal, headers: { authorization: "Bearer k" } };
  return executions.subscribe({ value: "aex-1" }, options)[Symbol.asyncIterator]();
}

it.each<[string, () => Principal | undefined, string]>([
  ["was taken back", () => undefined, "the API key is not valid for this server any more"],
  [
    "has expired",
    () => {
      throw new ConnectError("the API key has expired on Monday: make another", Code.Unauthenticated);
    },
    "the API key has expired on Monday: make another",
  ],
  ["is for another role now", () => ({ ...ADA, role: "viewer" }), "what the API key opens has changed: call again"],
  [
    "says nothing of its bearer any more",
    () => {
      throw new ConnectError("the token names no organization", Code.PermissionDenied);
    },
    "the token names no organization",
  ],
])("ends a silent stream whose key %s", async (_what, next, rawMessage) => {
  const stream = follow();
  expect((await stream.next()).value).toMatchObject({ kind: "first" });
  caller = next;
  await expect(stream.next()).rejects.toMatchObject({ code: Code.Unauthenticated, rawMessage });
  await vi.waitFor(() => expect(open).toBe(0));
});

it("lets a stream go on whose key is good, and looks at it no more when it has ended", async () => {
  const leaving = new AbortController();
  const stream = follow(leaving.signal);
  await stream.next();
  for (const kind of ["second", "third"]) {
    const seen = looks;
    await vi.waitFor(() => expect(looks).toBeGreaterThan(seen + 1));
    says.resolve(kind);
    expect((await stream.next()).value).toMatchObject({ kind });
  }
  leaving.abort();
  await vi.waitFor(() => expect(open).toBe(0));
  const ended = looks;
  await sleep(60);
  expect(looks - ended).toBeLessThanOrEqual(1);
});

it("lets it go on while nobody can say, until the end that is known", async () => {
  caller = () => ({ ...ADA, expiresAt: now + 60_000 });
  const stream = follow();
  await stream.next();
  let tries = 0;
  caller = () => {
    tries++;
    throw tries % 2 === 0
      ? new ConnectError("the issuer is away", Code.Unavailable)
      : new StoreError("unavailable", "the database is away");
  };
  await vi.waitFor(() => expect(tries).toBeGreaterThan(3));
  says.resolve("still here");
  expect((await stream.next()).value).toMatchObject({ kind: "still here" });
  now += 60_000;
  await expect(stream.next()).rejects.toMatchObject({
    code: Code.Unauthenticated,
    rawMessage: "the API key or token has expired: show another",
  });
});

it("looks when the key ends, not only when it is time to", async () => {
  caller = () => ({ ...ADA, expiresAt: now + 1 });
  const stream = follow();
  await stream.next();
  const refused = new ConnectError("the token has expired: get another", Code.Unauthenticated);
  caller = () => {
    now += 1;
    throw refused;
  };
  await expect(stream.next()).rejects.toMatchObject({ rawMessage: refused.rawMessage });
});
