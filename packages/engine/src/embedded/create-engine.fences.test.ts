import { Code } from "@connectrpc/connect";
import { ReleaseHold } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { until } from "../conformance/until.ts";
import { closeWorlds, type EngineWorld, holding, world } from "./__fixtures__/engine-world.ts";
import type { RawRunner, RawStream } from "./__fixtures__/raw-runner.ts";
import { rest } from "./__fixtures__/rest.ts";

afterEach(closeWorlds);

/** A runner's way to the task that it holds under this fence. */
interface Held {
  readonly given: EngineWorld;
  readonly stream: RawStream;
  readonly fence: number;
}

const runnerOf = ({ given }: Held): RawRunner => given.runner("r1");
const leaseOf = ({ fence }: Held): { taskId: string; fence: number } => ({ taskId: "aex-1", fence });

/** Each takes the task from its runner in a way of its own. Answers the stream on which it comes back. */
const takeovers: Readonly<Record<string, (held: Held) => Promise<RawStream>>> = {
  silence: async (held) => {
    held.given.clock.advance(10_000);
    expect(await held.stream.next()).toBe(`lost aex-1/${String(held.fence)}`);
    await runnerOf(held).client.heartbeat({ runnerId: "r1" });
    return held.stream;
  },
  "a broken stream": async (held) => {
    const { server, clock } = held.given;
    held.stream.close();
    await until(async () => (await server.queue.nextDue({ now: 0 })) === clock.now() + 1_000, "the window");
    await rest();
    clock.advance(1_000);
    await until(async () => (await server.engine.metrics()).waiting === 1, "the loss");
    return attach(held);
  },
  "a runner that knows of nothing": (held) => attach(held),
  "a failure": async (held) => {
    const { server, clock } = held.given;
    const failure = { case: "failure", value: { message: "disk full", retryable: true } } as const;
    await runnerOf(held).complete(leaseOf(held), failure);
    await until(async () => (await server.queue.nextDue({ now: clock.now() })) !== undefined, "the wait");
    await rest();
    clock.advance(30_000);
    await runnerOf(held).client.heartbeat({ runnerId: "r1" });
    return held.stream;
  },
  "a drain": async (held) => {
    await runnerOf(held).client.releaseLease({ runnerId: "r1", lease: leaseOf(held) });
    return attach(held);
  },
  "a pause": async (held) => {
    await held.given.server.engine.pause("aex-1", "lunch");
    expect(await held.stream.next()).toBe(`pause aex-1/${String(held.fence)} lunch`);
    const hold = ReleaseHold.PAUSE_REQUESTED;
    await runnerOf(held).client.releaseLease({ runnerId: "r1", lease: leaseOf(held), hold });
    await held.given.server.engine.resume("aex-1");
    return held.stream;
  },
  "a restart of the server": async (held) => {
    await held.given.server.restart();
    expect(await held.stream.next()).toBe("end");
    const stream = await attach(held);
    await rest();
    held.given.clock.advance(3_000);
    return stream;
  },
};

async function attach(held: Held): Promise<RawStream> {
  const stream = runnerOf(held).attach();
  expect(await stream.next()).toBe("attached");
  return stream;
}

/** Everything that a runner could do under an earlier fence. */
async function expectRefused(held: Held): Promise<void> {
  const runner = runnerOf(held);
  const lease = leaseOf(held);
  const refused = { code: Code.Aborted };
  await expect(runner.complete(lease)).rejects.toMatchObject(refused);
  const failure = { case: "failure", value: { message: "disk full", retryable: true } } as const;
  await expect(runner.complete(lease, failure)).rejects.toMatchObject(refused);
  for (const hold of [ReleaseHold.UNSPECIFIED, ReleaseHold.PAUSE_REQUESTED, ReleaseHold.PAUSED_ITSELF]) {
    const request = { runnerId: "r1", lease, hold };
    await expect(runner.client.releaseLease(request)).rejects.toMatchObject(refused);
  }
}

describe("a fence", () => {
  it.each([Object.keys(takeovers), Object.keys(takeovers).toReversed()])(
    "grows whenever the task changes hands, first by %s, and what comes under an earlier one is refused",
    async (...causes) => {
      const given = world({ maxAttempts: 20 });
      let { stream } = await holding(given);
      const earlier: Held[] = [];
      for (const [index, cause] of causes.entries()) {
        const held = { given, stream, fence: index + 1 };
        stream = (await takeovers[cause]?.(held)) ?? stream;
        expect(await stream.next(), cause).toBe(`lease aex-1/${String(held.fence + 1)}`);
        earlier.push(held);
        for (const zombie of earlier) await expectRefused(zombie);
        const { lost } = await given.runner("r1").client.heartbeat({
          runnerId: "r1",
          held: [...earlier.map(leaseOf), { taskId: "aex-1", fence: held.fence + 1 }],
        });
        expect(lost).toMatchObject(earlier.map(leaseOf));
      }
      expect(given.server.ends).toEqual([]);
      await given.runner("r1").complete({ taskId: "aex-1", fence: causes.length + 1 });
      expect(given.server.finished).toMatchObject([{ executionId: "aex-1", fence: causes.length + 1 }]);
    },
  );
});

describe("an end that is no failure", () => {
  it("is taken from who holds the lease alone, whatever fence others name", async () => {
    const given = world();
    await holding(given);
    await expect(given.runner("r2").complete({ taskId: "aex-1", fence: 1 })).rejects.toMatchObject({
      code: Code.Aborted,
    });
    expect(given.server.ends).toEqual([]);
  });

  it("is stored by one write, with none before it that renews the lease", async () => {
    const given = world();
    const { runner } = await holding(given);
    const renew = vi.spyOn(given.server.queue, "renew");
    await runner.complete({ taskId: "aex-1", fence: 1 });
    expect(given.server.ends).toHaveLength(1);
    expect(renew).not.toHaveBeenCalled();
  });
});
