import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import type { OutputFormat } from "../../output/show-resources.ts";
import { waitingCalls } from "../../output/run-view/waiting-calls.ts";
import { findKind, findResource } from "../../resources/kinds.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { get } from "../get.ts";
import { listWaiting } from "./approvals.ts";

/** Shows a run; to people also the calls of it that wait for them. */
export async function getExecution(
  { id, output }: { readonly id: string; readonly output: OutputFormat },
  io: CommandIo,
): Promise<void> {
  await get({ kind: "execution", nameOrId: id, output }, io);
  if (output !== "table") return;
  await withClient(io, async ({ client }) => {
    const { status } = (await findResource(client, findKind("execution"), id)) as AgentExecution;
    listWaiting(id, waitingCalls(status), io);
  });
}
