import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ExecutionPhase, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { endWithRun } from "./end-with-run.ts";

type Change = NonNullable<MessageInitShape<typeof StatusDeltaSchema>["changes"]>[number];

const moved = (phase: ExecutionPhase): Change => ({ change: { case: "run", value: { phase } } });
const said: Change = { change: { case: "textAppended", value: { messageId: "m1", text: "hi" } } };

/** What is sent for these changes, and whether the task ended with them. */
async function sent(changes: Change[], server: { readonly ends: boolean }, isHeld = true): Promise<string[]> {
  const told: string[] = [];
  const record = {
    patchStatus: async () => (told.push("patch"), 2),
    patchToEnd: async (_patch: object, runnerId: string) => {
      told.push(`patch that ends the lease of ${runnerId}`);
      return { revision: 2, leaseEnded: server.ends };
    },
  };
  const ending = isHeld ? { runnerId: "r1", ended: () => void told.push("ended") } : undefined;
  const delta = create(StatusDeltaSchema, { changes });
  expect(await endWithRun(record, ending)({ executionId: "aex-1", fence: 1, sequence: 1, delta })).toBe(2);
  return told;
}

const { EXECUTION_COMPLETED, EXECUTION_CANCELLED, EXECUTION_FAILED, EXECUTION_PAUSED } = ExecutionPhase;

it.each([EXECUTION_COMPLETED, EXECUTION_CANCELLED, EXECUTION_FAILED])(
  "ends the task with the change to phase %s",
  async (phase) => {
    expect(await sent([said, moved(phase)], { ends: true })).toEqual(["patch that ends the lease of r1", "ended"]);
  },
);

it("leaves the task where the server did not end it", async () => {
  expect(await sent([moved(EXECUTION_COMPLETED)], { ends: false })).toEqual(["patch that ends the lease of r1"]);
});

it.each([
  ["goes on", said],
  ["rests", moved(EXECUTION_PAUSED)],
])("asks for no end of a run that %s", async (_what, change) => {
  expect(await sent([change], { ends: true })).toEqual(["patch"]);
});

it("asks for none under an engine that knows no such end", async () => {
  expect(await sent([moved(EXECUTION_COMPLETED)], { ends: true }, false)).toEqual(["patch"]);
});
