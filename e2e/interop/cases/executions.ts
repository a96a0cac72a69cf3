import { expect } from "vitest";
import { type Answer, at, type Caller, idOf } from "../caller.ts";
import { apiVersion, EXECUTION_QUERIES, EXECUTIONS, resource, type World } from "../world.ts";
import type { Cases } from "./case.ts";

const get = ({ own }: World, id: string): Promise<Answer> => own.call(`${EXECUTION_QUERIES}/get`, { value: id });

const status = (caller: Caller, executionId: string, change: object): Promise<Answer> =>
  caller.call(`${EXECUTIONS}/updateStatus`, { executionId, status: change });

const idsOf = (list: Answer): string[] => (list["entries"] as Answer[]).map(idOf);

/** The value that a stream gives next; throws when it has ended. */
async function next(stream: AsyncGenerator<Answer, void, void>): Promise<Answer> {
  const { value } = await stream.next();
  if (!value) throw new Error("The stream has ended.");
  return value;
}

const ended = (events: readonly Answer[], path: string): unknown => events.map((event) => at(event, path)).at(-1);

export const executionCases: Cases = {
  [`${EXECUTIONS}/create`]: async (client, world) => {
    const agent = await world.agent();
    const agentId = idOf(agent);
    const spec = { agentId, message: "Grüße, 世界", executionConfig: { modelName: "m" } };
    const answer = await client.call(`${EXECUTIONS}/create`, resource("AgentExecution", "run", spec));
    expect(answer).toMatchObject({
      apiVersion,
      metadata: { id: expect.stringMatching(/^aex-[0-9a-z]{26}$/) as string },
      spec: { ...spec, sessionId: expect.stringMatching(/^ses-/) as string },
      status: { phase: "EXECUTION_PENDING" },
    });
    expect(await get(world, idOf(answer))).toMatchObject({ spec });
    const agentRef = { slug: at(agent, "metadata.slug") };
    const named = await client.call(
      `${EXECUTIONS}/create`,
      resource("AgentExecution", "named", { message: "Hi", agentRef }),
    );
    expect(await get(world, idOf(named))).toMatchObject({ spec: { agentId, message: "Hi" } });
  },
  [`${EXECUTIONS}/update`]: async (client, world) => {
    const { metadata, spec } = (await world.run()) as { metadata: object; spec: object };
    const answer = await client.call(`${EXECUTIONS}/update`, {
      apiVersion,
      kind: "AgentExecution",
      metadata: { ...metadata, labels: { team: "blue" } },
      spec,
    });
    expect(answer).toMatchObject({ metadata: { labels: { team: "blue" } } });
    expect(await get(world, idOf(answer))).toMatchObject({ metadata: { labels: { team: "blue" } } });
  },
  [`${EXECUTIONS}/updateStatus`]: async (client, world) => {
    const id = idOf(await world.run());
    const messages = [{ type: "MESSAGE_AI", content: "Hello", toolCalls: [{ id: "c1", name: "ls" }] }];
    const answer = await status(client, id, { phase: "EXECUTION_IN_PROGRESS", messages, todos: { t1: { id: "t1" } } });
    expect(answer).toMatchObject({ status: { phase: "EXECUTION_IN_PROGRESS", messages, todos: { t1: { id: "t1" } } } });
    expect(await get(world, id)).toMatchObject({ status: { messages } });
  },
  [`${EXECUTIONS}/delete`]: async (client, world) => {
    const id = idOf(await world.run());
    await status(world.own, id, { phase: "EXECUTION_COMPLETED" });
    expect(idOf(await client.call(`${EXECUTIONS}/delete`, { value: id }))).toBe(id);
    await expect(get(world, id)).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
  [`${EXECUTIONS}/patchStatus`]: async (client, world) => {
    const { id, fence } = await world.leased();
    const changes = [
      { messageStarted: { messageId: "m1", type: "MESSAGE_AI" } },
      { textAppended: { messageId: "m1", kind: "TEXT_KIND_CONTENT", text: "Hel" } },
    ];
    const first = await client.call(`${EXECUTIONS}/patchStatus`, {
      executionId: id,
      fence,
      sequence: 1,
      delta: { changes },
    });
    const more = [{ textAppended: { messageId: "m1", kind: "TEXT_KIND_CONTENT", offset: 3, text: "lo" } }];
    const second = await client.call(`${EXECUTIONS}/patchStatus`, {
      executionId: id,
      fence,
      sequence: 2,
      delta: { changes: more },
    });
    expect(Number(second["revision"])).toBeGreaterThan(Number(first["revision"]));
    expect(await get(world, id)).toMatchObject({
      status: { messages: expect.arrayContaining([expect.objectContaining({ content: "Hello" })]) as unknown },
    });
    await expect(
      client.call(`${EXECUTIONS}/patchStatus`, { executionId: id, fence: fence + 1, sequence: 3, delta: { changes } }),
    ).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
  },
  [`${EXECUTIONS}/cancel`]: async (client, world) => {
    const id = idOf(await world.run());
    const answer = await client.call(`${EXECUTIONS}/cancel`, { executionId: id, reason: "enough" });
    expect(idOf(answer)).toBe(id);
    const events = await Array.fromAsync(world.own.stream(`${EXECUTION_QUERIES}/subscribe`, { value: id }));
    expect(ended(events, "status.phase")).toBe("EXECUTION_CANCELLED");
  },
  [`${EXECUTIONS}/pause`]: async (client, world) => {
    const id = idOf(await world.run());
    expect(idOf(await client.call(`${EXECUTIONS}/pause`, { executionId: id, reason: "lunch" }))).toBe(id);
    expect(await get(world, id)).toMatchObject({ status: { phase: "EXECUTION_PAUSED" } });
  },
  [`${EXECUTIONS}/resume`]: async (client, world) => {
    const id = idOf(await world.run());
    await world.own.call(`${EXECUTIONS}/pause`, { executionId: id });
    expect(idOf(await client.call(`${EXECUTIONS}/resume`, { executionId: id }))).toBe(id);
    expect(await get(world, id)).toMatchObject({ status: { phase: "EXECUTION_PENDING" } });
  },
  [`${EXECUTIONS}/sendMessage`]: async (client, world) => {
    const id = idOf(await world.run());
    const message = { executionId: id, messageId: "q1", text: "And one more" };
    // Said twice is heard once.
    for (const _ of [1, 2]) expect(idOf(await client.call(`${EXECUTIONS}/sendMessage`, message))).toBe(id);
    const lease = await firstLease(world);
    expect(lease).toMatchObject({ lease: { inbox: [{ id: "q1", message: { text: "And one more" } }] } });
  },
  [`${EXECUTIONS}/resolveApproval`]: async (client, world) => {
    const id = idOf(await world.run());
    const call = { id: "call-1", name: "deploy", status: "TOOL_CALL_WAITING_FOR_APPROVAL" };
    await status(world.own, id, { phase: "EXECUTION_IN_PROGRESS", toolCalls: [call] });
    const decision = { executionId: id, toolCallId: "call-1", decision: "APPROVAL_DECISION_APPROVE" };
    // Said twice is decided once.
    for (const _ of [1, 2]) expect(idOf(await client.call(`${EXECUTIONS}/resolveApproval`, decision))).toBe(id);
    const inbox = [
      { id: "approval/call-1", approval: { toolCallId: "call-1", decision: "APPROVAL_DECISION_APPROVE" } },
    ];
    expect(await firstLease(world)).toMatchObject({ lease: { inbox } });
  },
  [`${EXECUTION_QUERIES}/get`]: async (client, world) => {
    const run = await world.run({ message: "What now?" });
    expect(await client.call(`${EXECUTION_QUERIES}/get`, { value: idOf(run) })).toMatchObject({
      metadata: { id: idOf(run) },
      spec: { message: "What now?" },
      status: { phase: "EXECUTION_PENDING" },
    });
  },
  [`${EXECUTION_QUERIES}/list`]: async (client, world) => {
    const [waiting, over] = [idOf(await world.run()), idOf(await world.run())];
    await status(world.own, over, { phase: "EXECUTION_FAILED", error: "no luck" });
    const all = await client.call(`${EXECUTION_QUERIES}/list`, {});
    expect(idsOf(all)).toEqual([over, waiting]);
    const failed = await client.call(`${EXECUTION_QUERIES}/list`, { phase: "EXECUTION_FAILED", pageSize: 10 });
    expect(failed).toMatchObject({
      totalPages: 1,
      entries: [{ metadata: { id: over }, status: { error: "no luck" } }],
    });
    expect(idsOf(failed)).toEqual([over]);
  },
  [`${EXECUTION_QUERIES}/listBySession`]: async (client, world) => {
    const run = await world.run();
    await world.run();
    const answer = await client.call(`${EXECUTION_QUERIES}/listBySession`, { sessionId: at(run, "spec.sessionId") });
    expect(idsOf(answer)).toEqual([idOf(run)]);
  },
  [`${EXECUTION_QUERIES}/subscribe`]: async (client, world) => {
    const id = idOf(await world.run());
    const stream = client.stream(`${EXECUTION_QUERIES}/subscribe`, { value: id });
    expect(await next(stream)).toMatchObject({ metadata: { id }, status: { phase: "EXECUTION_PENDING" } });
    await status(world.own, id, { phase: "EXECUTION_IN_PROGRESS" });
    expect(await next(stream)).toMatchObject({ metadata: { id }, status: { phase: "EXECUTION_IN_PROGRESS" } });
    await status(world.own, id, { phase: "EXECUTION_COMPLETED", messages: [{ type: "MESSAGE_AI", content: "Done" }] });
    const rest = await Array.fromAsync(stream);
    expect(rest.at(-1)).toMatchObject({ status: { phase: "EXECUTION_COMPLETED", messages: [{ content: "Done" }] } });
  },
  [`${EXECUTION_QUERIES}/watch`]: async (client, world) => {
    const id = idOf(await world.run());
    const stream = client.stream(`${EXECUTION_QUERIES}/watch`, { executionId: id });
    const first = await next(stream);
    expect(first).toMatchObject({ snapshot: { metadata: { id }, status: { phase: "EXECUTION_PENDING" } } });
    await status(world.own, id, { phase: "EXECUTION_IN_PROGRESS" });
    const second = await next(stream);
    expect(second).toHaveProperty("delta.changes");
    await status(world.own, id, { phase: "EXECUTION_COMPLETED" });
    const revisions = [first, second, ...(await Array.fromAsync(stream))].map(({ revision }) => Number(revision));
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(new Set(revisions).size).toBe(revisions.length);
  },
  [`${EXECUTION_QUERIES}/watchSession`]: async (client, world) => {
    const run = await world.run();
    const sessionId = at(run, "spec.sessionId");
    const stream = client.stream(`${EXECUTION_QUERIES}/watchSession`, { sessionId });
    expect(await next(stream)).toMatchObject({ executionId: idOf(run), snapshot: { metadata: { id: idOf(run) } } });
    expect(await next(stream)).toMatchObject({ caughtUp: {} });
    await status(world.own, idOf(run), { phase: "EXECUTION_IN_PROGRESS" });
    expect(await next(stream)).toMatchObject({ executionId: idOf(run), delta: {} });
    const later = await world.run({ sessionId });
    let event = await next(stream);
    while (event["executionId"] !== idOf(later)) event = await next(stream);
    expect(event).toMatchObject({ snapshot: { metadata: { id: idOf(later) } } });
    await stream.return();
  },
  [`${EXECUTION_QUERIES}/watchList`]: async (client, world) => {
    const run = await world.run();
    const stream = client.stream(`${EXECUTION_QUERIES}/watchList`, { org: "local", pageSize: 5 });
    expect(await next(stream)).toMatchObject({ changed: { metadata: { id: idOf(run) } } });
    expect(await next(stream)).toMatchObject({ caughtUp: {} });
    await status(world.own, idOf(run), { phase: "EXECUTION_COMPLETED" });
    expect(await next(stream)).toMatchObject({
      changed: { metadata: { id: idOf(run) }, status: { phase: "EXECUTION_COMPLETED" } },
    });
    await world.own.call(`${EXECUTIONS}/delete`, { value: idOf(run) });
    expect(await next(stream)).toEqual({ deleted: idOf(run) });
    await stream.return();
  },
};

async function firstLease({ own }: World): Promise<Answer> {
  const leases = own.stream("ai.stigmer.agentic.runner.v1.RunnerController/takeLeases", {
    runnerId: "r1",
    taskQueue: "agent_execution_runner",
    maxConcurrency: 1,
  });
  try {
    for (;;) {
      const event = await next(leases);
      if (event["lease"]) return event;
    }
  } finally {
    await leases.return();
  }
}
