import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { showPhase } from "../../resources/kinds.ts";
import { findKind, findResource } from "../../resources/kinds.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { attendRun } from "../run/attend-run.ts";

export interface WatchOptions {
  readonly id: string;
  readonly json?: boolean;
}

/** Shows a run from its beginning to its end, whoever started it. */
export async function watchExecution({ id, json = false }: WatchOptions, io: CommandIo): Promise<number> {
  return await withClient(io, async ({ client }) => {
    await findResource(client, findKind("execution"), id);
    return await attendRun({ client, executionId: id, json, secondChanceMs: 0 }, io);
  });
}

export interface CancelOptions {
  readonly id: string;
  readonly reason?: string;
}

/** Asks a run to stop. It has stopped when its phase says so. */
export async function cancelExecution({ id, reason }: CancelOptions, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    await findResource(client, findKind("execution"), id);
    const { status } = await client.executions.cancel(id, reason);
    const phase = status?.phase ?? ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;
    const ended = phase !== ExecutionPhase.EXECUTION_PENDING && phase !== ExecutionPhase.EXECUTION_IN_PROGRESS;
    io.stdout.write(ended ? `execution ${id} is ${showPhase(phase)}\n` : `execution ${id} is being cancelled\n`);
  });
}
