import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { CommandIo } from "../../command-io.ts";
import { type FakeDaemon, fakeDaemon, restarts } from "../../daemon/__fixtures__/fake-daemon.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { superviseInForeground } from "./foreground.ts";

let daemon: FakeDaemon;
beforeEach(async () => {
  daemon = await fakeDaemon();
});
afterEach(() => daemon[Symbol.asyncDispose]());

interface Foreground {
  readonly exitCode: Promise<number>;
  readonly ready: Promise<void>;
  readonly err: () => string;
  interrupt(): void;
}

function start(): Foreground {
  const ready = Promise.withResolvers<void>();
  let interrupt: (signal: "SIGINT") => void = () => expect.unreachable("nobody listens");
  let err = "";
  const io: CommandIo = {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough().on("data", (chunk) => (err += String(chunk))),
    env: {},
    cwd: "/",
    onSignal(listener) {
      interrupt = listener;
      return () => {};
    },
  };
  const { homes, children } = daemon;
  const options = { homes, env: {}, port: 0, children, restarts, onReady: () => ready.resolve() };
  return {
    exitCode: superviseInForeground(options, io),
    ready: ready.promise,
    err: () => err,
    interrupt: () => interrupt("SIGINT"),
  };
}

const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 15_000, interval: 10 });

test("Ctrl-C stops everything in order; a crash before it was told", async () => {
  const { exitCode, ready, err, interrupt } = start();
  await ready;
  process.kill(daemon.starts("runner")[0]?.pid ?? Number.NaN, "SIGKILL");
  await vi.waitFor(
    async () => expect((await findDaemon(daemon.homes))?.processes[1]).toMatchObject({ state: "running", restarts: 1 }),
    { timeout: 15_000, interval: 10 },
  );
  interrupt();
  expect(await exitCode).toBe(0);
  expect(daemon.events()).toEqual(["runner stopped", "server stopped"]);
  expect(err()).toBe("agent-runner was ended by SIGKILL; it is started again\nStopping…\n");
});

test("a second Ctrl-C does not wait for who does not listen", async () => {
  for (const name of ["server", "runner"] as const) daemon.behave(name, { ignoreSigterm: true });
  const { exitCode, ready, err, interrupt } = start();
  await ready;
  interrupt();
  interrupt();
  expect(await exitCode).toBe(0);
  expect([daemon.events(), daemon.alive(), err()]).toEqual([[], [], "Stopping…\n"]);
});

test("Ctrl-C while it starts leaves nothing", async () => {
  daemon.behave("runner", { neverReady: true });
  const { exitCode, interrupt } = start();
  await eventually(() => expect(daemon.starts("runner")).toHaveLength(1));
  interrupt();
  expect(await exitCode).toBe(130);
  expect([daemon.alive(), await findDaemon(daemon.homes)]).toEqual([[], undefined]);
});

test("what is in the way is the error, said once", async () => {
  daemon.behave("server", { failed: "Port 50051 is in use." });
  const { exitCode, err } = start();
  await expect(exitCode).rejects.toThrow("Port 50051 is in use.");
  expect(err()).toBe("");
});
