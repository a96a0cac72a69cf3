import { create } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { describe, expect, it } from "vitest";
import { ClientError } from "./errors.ts";
import { sendStatus, type SendStatusOptions } from "./send-status.ts";

const delta = create(StatusDeltaSchema);

function world(patch: () => number = () => 1): { calls: string[]; executions: SendStatusOptions["executions"] } {
  const calls: string[] = [];
  const executions: SendStatusOptions["executions"] = {
    patchStatus: async ({ fence, sequence }) => {
      calls.push(`patch ${fence}/${sequence}`);
      return patch();
    },
    updateStatus: async (executionId, status) => {
      calls.push(`whole ${executionId} ${status.error}`);
      return undefined as never;
    },
  };
  return { calls, executions };
}

const wholeStatus = (): ReturnType<SendStatusOptions["wholeStatus"]> =>
  create(AgentExecutionStatusSchema, { error: "so far" });

describe("sending a status", () => {
  it("sends deltas under the fence", async () => {
    const { calls, executions } = world();
    const send = sendStatus({ executions, executionId: "aex-1", fence: 4, wholeStatus });
    await send(delta, 1);
    await send(delta, 2);
    expect(calls).toEqual(["patch 4/1", "patch 4/2"]);
  });

  it("sends the whole status from the first refusal on", async () => {
    const { calls, executions } = world(() => {
      throw new ClientError("unimplemented", "no such method");
    });
    const send = sendStatus({ executions, executionId: "aex-1", fence: 4, wholeStatus });
    await send(delta, 1);
    await send(delta, 2);
    expect(calls).toEqual(["patch 4/1", "whole aex-1 so far", "whole aex-1 so far"]);
  });

  it("asks nothing about deltas where there are no fences", async () => {
    const { calls, executions } = world();
    await sendStatus({ executions, executionId: "aex-1", fence: 0, wholeStatus })(delta, 1);
    expect(calls).toEqual(["whole aex-1 so far"]);
  });

  it("passes any other failure on", async () => {
    const { executions } = world(() => {
      throw new ClientError("failed-precondition", "an old fence");
    });
    const send = sendStatus({ executions, executionId: "aex-1", fence: 4, wholeStatus });
    await expect(send(delta, 1)).rejects.toMatchObject({ code: "failed-precondition" });
  });
});
