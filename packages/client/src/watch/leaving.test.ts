import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AgentExecutionQueryController, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterEach, expect, it, vi } from "vitest";
import { createClient, type StigmerClient } from "../create-client.ts";

const closers: (() => void)[] = [];
afterEach(() => void vi.useRealTimers());
afterEach(() => closers.splice(0).forEach((close) => close()));

/** The run that has ended when it is watched. */
const ENDED = "aex-ended";

/** A server whose watches end only when their watcher does. */
async function start(): Promise<{ client: StigmerClient; left: Promise<void> }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const untilLeft = (signal: AbortSignal): Promise<void> =>
    new Promise((done) => {
      signal.addEventListener("abort", () => {
        resolve();
        done();
      });
    });
  const server = createServer(
    connectNodeAdapter({
      routes: (router) => {
        router.service(AgentExecutionQueryController, {
          async *watch({ executionId }, { signal }) {
            const { EXECUTION_COMPLETED, EXECUTION_IN_PROGRESS } = ExecutionPhase;
            const status = { phase: executionId === ENDED ? EXECUTION_COMPLETED : EXECUTION_IN_PROGRESS };
            yield { revision: 1, event: { case: "snapshot", value: { status } } };
            await untilLeft(signal);
          },
          async *watchSession(_request, { signal }) {
            yield { event: { case: "caughtUp", value: {} } };
            await untilLeft(signal);
          },
          async *watchList(_request, { signal }) {
            yield { event: { case: "caughtUp", value: {} } };
            await untilLeft(signal);
          },
        });
      },
    }),
  );
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const client = createClient({ endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, apiKey: "k" });
  closers.push(
    () => client.close(),
    () => server.close(),
  );
  return { client, left: promise };
}

it.each<[string, (client: StigmerClient) => AsyncIterable<unknown>]>([
  ["a run's watch", ({ executions }) => executions.watch("aex-1")],
  ["a session's watch", ({ executions }) => executions.watchSession("ses-1")],
  ["a list's watch", ({ executions }) => executions.watchList()],
])("leaving the loop of %s ends the stream", async (_, watch) => {
  const { client, left } = await start();
  for await (const update of watch(client)) {
    expect(update).toBeDefined();
    break;
  }
  await left;
});

it("the loop of a run that has ended waits for no end of its stream, which is cut off when it doesn't come", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { client, left } = await start();
  let isOver = false;
  void left.then(() => (isOver = true));
  for await (const { phase } of client.executions.watch(ENDED)) expect(phase).toBe("completed");
  await new Promise<void>((turn) => setImmediate(turn));
  expect(isOver).toBe(false);
  vi.advanceTimersByTime(5_000);
  await left;
});

it("refuses an empty id before it calls", async () => {
  using client = createClient({ endpoint: "127.0.0.1:1", apiKey: "k" });
  for (const [watch, message] of [
    [client.executions.watch(""), "execution_id cannot be empty"],
    [client.executions.watchSession(""), "session_id cannot be empty"],
  ] as const) {
    await expect(watch.next()).rejects.toMatchObject({ code: "invalid-argument", message });
  }
});
