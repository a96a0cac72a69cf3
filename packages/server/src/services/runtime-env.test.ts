import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { AgentExecutionSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { ExecutionContextSchema } from "@stigmer/protos/executioncontext/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deltaOf, moved } from "../executions/__fixtures__/open-runs.ts";
import { SECRET_MASK } from "../secrets/secrets.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const { EXECUTION_COMPLETED, EXECUTION_FAILED, EXECUTION_CANCELLED } = ExecutionPhase;
const CANARY = "canary-4242-secret";

let server: TestServer;
let agentId: string;
beforeEach(async () => {
  server = await openTestServer();
  agentId = (await server.agents.create(given.agent("a"))).metadata?.id ?? "";
});
afterEach(() => server.dispose());

const secret = (value: string): { value: string; isSecret: boolean } => ({ value, isSecret: true });

async function start(runtimeEnv: object = { TOKEN: secret(CANARY), OPEN: { value: "seen" } }): Promise<string> {
  return (await server.executions.create(given.execution({ agentId, runtimeEnv }))).metadata?.id ?? "";
}

async function contextOf(slug: string, fence?: string): Promise<Record<string, string> | undefined> {
  const headers = fence === undefined ? undefined : { "stigmer-fence": fence };
  try {
    const { spec } = await server.contexts.getByReference({ slug, org: "local" }, { headers });
    return Object.fromEntries(Object.entries(spec?.data ?? {}).map(([name, { value }]) => [name, value]));
  } catch (error) {
    if ((error as { code?: unknown }).code === Code.NotFound) return undefined;
    throw error;
  }
}

/** What of the run's secret stands in the database. */
async function sealedSecret(): Promise<string> {
  const [record] = await server.store.resources.list({ kind: "ExecutionContext" }, { limit: 1 });
  if (!record) throw new Error("There is no context.");
  return fromBinary(ExecutionContextSchema, record.body).spec?.data["TOKEN"]?.value ?? "";
}

async function keeps(text: string): Promise<boolean> {
  return (await server.place.kept()).includes(text);
}

describe("a run's variables", () => {
  it("stand in a context of the run, which only the runner that holds this run reads in clear", async () => {
    const id = await start();
    const run = await server.executions.get({ value: id });
    expect(run.spec?.runtimeEnv).toMatchObject({ TOKEN: secret(SECRET_MASK), OPEN: { value: "seen" } });
    const stored = await server.store.executions.get(id);
    const body = fromBinary(AgentExecutionSchema, stored?.body ?? new Uint8Array());
    expect(body.spec?.runtimeEnv["TOKEN"]?.value).toBe(SECRET_MASK);
    expect(await contextOf(id)).toEqual({ TOKEN: SECRET_MASK, OPEN: "seen" });

    const { fence } = await server.lease();
    const other = await start();
    expect(await contextOf(id, `${id}/${fence}`)).toEqual({ TOKEN: CANARY, OPEN: "seen" });
    expect(await contextOf(other, `${id}/${fence}`)).toEqual({ TOKEN: SECRET_MASK, OPEN: "seen" });
    expect(await contextOf(id, `${id}/${fence + 1}`)).toEqual({ TOKEN: SECRET_MASK, OPEN: "seen" });
    const underFence = await server.executions.get({ value: id }, { headers: { "stigmer-fence": `${id}/${fence}` } });
    expect(underFence.spec?.runtimeEnv["TOKEN"]?.value).toBe(SECRET_MASK);
  });

  it("need no context when there are none", async () => {
    expect(await contextOf(await start({}))).toBeUndefined();
  });

  it("can't be given as they are shown", async () => {
    await expect(start({ TOKEN: secret(SECRET_MASK) })).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(/^spec\.runtime_env\["TOKEN"\]\.value: /) as string,
    });
    expect((await server.executions.list({})).entries).toEqual([]);
    expect((await server.sessions.list({})).entries).toEqual([]);
  });

  it("are changed with a run that waits: what is given masked stays, what is left out goes", async () => {
    const id = await start();
    const update = (runtimeEnv: object): Promise<unknown> =>
      server.executions.update(given.execution({ agentId, runtimeEnv }, { id }));
    await update({ TOKEN: secret(SECRET_MASK), MORE: secret("more") });
    await expect(update({ NEW: secret(SECRET_MASK) })).rejects.toMatchObject({ code: Code.InvalidArgument });
    const { fence } = await server.lease();
    expect(await contextOf(id, `${id}/${fence}`)).toEqual({ TOKEN: CANARY, MORE: "more" });
    await expect(update({})).rejects.toMatchObject({ code: Code.FailedPrecondition });

    const waiting = await start();
    await server.executions.update(given.execution({ agentId }, { id: waiting }));
    expect(await contextOf(waiting)).toBeUndefined();
  });
});

describe("when the run is over", () => {
  const endings: [string, (id: string, fence: number) => Promise<unknown>][] = [
    [
      "by a change of its runner",
      (executionId, fence) =>
        server.executions.patchStatus({
          executionId,
          fence,
          sequence: 1,
          delta: deltaOf(...moved(EXECUTION_COMPLETED)),
        }),
    ],
    [
      "by the whole status of an older runner",
      (executionId) => server.executions.updateStatus({ executionId, status: { phase: EXECUTION_FAILED } }),
    ],
    ["by its engine", (id, fence) => server.runs.finish(id, fence, undefined)],
    ["as one that nobody can run", (id) => server.runs.fail(id, "no")],
    [
      "as one that was lost",
      async (id) => {
        await server.store.queue.end(id);
        await server.runs.recover();
      },
    ],
    [
      "because it was cancelled",
      (executionId, fence) =>
        server.executions.patchStatus({
          executionId,
          fence,
          sequence: 1,
          delta: deltaOf(...moved(EXECUTION_CANCELLED)),
        }),
    ],
  ];

  it.each(endings)("%s, its context is gone, and its secrets are gone from the disk", async (_how, end) => {
    const id = await start();
    const { fence } = await server.lease();
    const sealed = await sealedSecret();
    expect(await keeps(sealed)).toBe(true);
    await end(id, fence);
    expect(await contextOf(id, `${id}/${fence}`)).toBeUndefined();
    // Closing brings the log of changes into the database.
    server = await server.restart();
    expect(await keeps(sealed)).toBe(false);
    expect(await keeps(CANARY)).toBe(false);
    const run = await server.executions.get({ value: id });
    expect(run.spec?.runtimeEnv).toMatchObject({ TOKEN: secret(SECRET_MASK), OPEN: { value: "seen" } });
  });

  it("takes no context any more", async () => {
    const id = await start();
    await server.runs.fail(id, "no");
    const late = server.contexts.create({
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "ExecutionContext",
      metadata: { name: "late" },
      spec: { executionId: id, data: { TOKEN: secret(CANARY) } },
    });
    await expect(late).rejects.toMatchObject({ code: Code.FailedPrecondition });
  });
});
