import { Code } from "@connectrpc/connect";
import type { ExecutionContext } from "@stigmer/protos/executioncontext/v1";
import type { ResolveRunResponse } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it } from "vitest";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const MISSING = "aex-01m7yp6m06v3nf22f78h88f1ad";
const CANARY = "s3cret";

let server: TestServer;
afterEach(() => server.dispose());

interface Held {
  readonly executionId: string;
  readonly sessionId: string;
  readonly fence: number;
}

const as = (org: string) => ({ headers: { "x-org": org } });

/** A run of an organisation with a secret of its own, in a session that has no thread yet, in the hands of a runner. */
async function hold(org = "local"): Promise<Held> {
  const agent = await server.agents.create(given.agent("a"), as(org));
  const session = await server.sessions.create(given.session("s", agent.status?.defaultInstanceId ?? ""), as(org));
  const sessionId = session.metadata?.id ?? "";
  const runtimeEnv = { TOKEN: { value: CANARY, isSecret: true } };
  await server.executions.create(given.execution({ sessionId, runtimeEnv }), as(org));
  const { id: executionId, fence } = await server.lease();
  return { executionId, sessionId, fence };
}

type Shown = { readonly role?: string; readonly held?: Held; readonly org?: string };

function headersOf({ role = "runner", held, org = "" }: Shown): Record<string, string> {
  return { "x-role": role, "x-org": org, ...(held && { "stigmer-fence": `${held.executionId}/${held.fence}` }) };
}

const resolve = (executionId: string, shown: Shown): Promise<ResolveRunResponse> =>
  server.runner.resolveRun({ executionId }, { headers: headersOf(shown) });
const tokenIn = (context: ExecutionContext | undefined): string | undefined => context?.spec?.data["TOKEN"]?.value;
const lose = (): Promise<unknown> => server.queue.expire({ now: Number.MAX_SAFE_INTEGER, failure: "silent" });

describe.each(["local", "cloud"] as const)("what a run is made from, in %s mode", (mode) => {
  const org = mode === "local" ? "local" : "acme";
  const shownBy = (held: Held): Shown => (mode === "local" ? { role: "owner", org, held } : { held });

  it("is told its holder at once, as part by part, with the thread that the session has from then on", async () => {
    server = await openTestServer({ mode });
    const held = await hold(org);
    const { executionId, sessionId } = held;
    const options = { headers: headersOf(shownBy(held)) };
    const answer = await resolve(executionId, shownBy(held));
    const { execution, session, instance, agent, context } = answer;
    expect(session?.spec?.threadId).toBe(`thread-${sessionId}`);
    expect(tokenIn(context)).toBe(CANARY);
    expect(execution).toEqual(await server.executions.get({ value: executionId }, options));
    expect(session).toEqual(await server.sessions.get({ value: sessionId }, options));
    expect(instance).toEqual(await server.instances.get({ value: instance?.metadata?.id }, options));
    expect(agent).toEqual(await server.agents.get({ value: instance?.spec?.agentId }, options));
    expect(context).toEqual(await server.contexts.getByReference({ org, slug: executionId }, options));
    // Nobody has changed the session by that.
    const { threadId } = await server.runner.ensureThread({ sessionId }, options);
    expect(threadId).toBe(session?.spec?.threadId);
  });

  it("has no context where the run has no variables, and keeps a thread that was given", async () => {
    server = await openTestServer({ mode });
    const agent = await server.agents.create(given.agent("a"), as(org));
    const asked = given.session("s", agent.status?.defaultInstanceId ?? "", { threadId: "theirs" });
    const made = await server.sessions.create(asked, as(org));
    const sessionId = made.metadata?.id ?? "";
    await server.executions.create(given.execution({ sessionId }), as(org));
    const { id: executionId, fence } = await server.lease();
    const { session, context } = await resolve(executionId, shownBy({ executionId, sessionId, fence }));
    expect(session?.spec?.threadId).toBe("theirs");
    expect(context).toBeUndefined();
  });

  it("is refused of a run that is not there", async () => {
    server = await openTestServer({ mode });
    const held = await hold(org);
    await expect(resolve(MISSING, shownBy(held))).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("is that of the agent which the instance has now", async () => {
    server = await openTestServer({ mode });
    const held = await hold(org);
    const other = await server.agents.create(given.agent("b"), as(org));
    const { instance } = await resolve(held.executionId, shownBy(held));
    if (!instance?.spec) throw new Error("The run has no instance.");
    instance.spec.agentId = other.metadata?.id ?? "";
    await server.instances.update(instance, as(org));
    const { agent } = await resolve(held.executionId, shownBy(held));
    expect(agent?.metadata?.slug).toBe("b");
  });
});

describe("whoever does not hold the run", () => {
  it("is told nothing: another organisation's runner, one that shows no run, one that lost it, and people", async () => {
    server = await openTestServer({ mode: "cloud" });
    const held = await hold("acme");
    const theirs = await hold("vault");
    await expect(resolve(held.executionId, { held: theirs })).rejects.toMatchObject({ code: Code.NotFound });
    await expect(resolve(held.executionId, {})).rejects.toMatchObject({ code: Code.PermissionDenied });
    await expect(resolve(held.executionId, { held: { ...held, fence: 99 } })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
    for (const role of ["owner", "member", "viewer"]) {
      const refused = resolve(held.executionId, { role, held, org: "acme" });
      await expect(refused).rejects.toMatchObject({ code: Code.PermissionDenied });
    }
    await lose();
    await expect(resolve(held.executionId, { held })).rejects.toMatchObject({ code: Code.FailedPrecondition });
  });

  it("is told no secret on this machine, nor gives the session a thread", async () => {
    server = await openTestServer();
    const held = await hold();
    await lose();
    const { session, context } = await resolve(held.executionId, { role: "owner", org: "local", held });
    expect(tokenIn(context)).toBe("********");
    expect(session?.spec?.threadId).toBe("");
  });
});
