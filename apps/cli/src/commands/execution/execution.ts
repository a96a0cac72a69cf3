import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { findKind, findResource, showPhase } from "../../resources/kinds.ts";
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
    return await attendRun({ client, executionId: id, json, onInterrupt: "leave" }, io);
  });
}

/** As `watchExecution`; Ctrl-C twice cancels it, as it does where it was started. */
export async function attachExecution({ id, json = false }: WatchOptions, io: CommandIo): Promise<number> {
  return await withClient(io, async ({ client }) => {
    await findResource(client, findKind("execution"), id);
    return await attendRun({ client, executionId: id, json }, io);
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
    io.stdout.write(
      isTerminal(phase) ? `execution ${id} is ${showPhase(phase)}\n` : `execution ${id} is being cancelled\n`,
    );
  });
}

export interface PauseOptions {
  readonly id: string;
  readonly reason?: string;
}

/** Asks a run to come to rest. It rests when its phase says so: what is under way is let to its end. */
export async function pauseExecution({ id, reason }: PauseOptions, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    await findResource(client, findKind("execution"), id);
    const { status } = await client.executions.pause(id, reason);
    const isPaused = status?.phase === ExecutionPhase.EXECUTION_PAUSED;
    io.stdout.write(isPaused ? `execution ${id} is paused\n` : `execution ${id} pauses when it comes to rest\n`);
    io.stderr.write(`Let it go on: stigmer execution resume ${id}\n`);
  });
}

/** Lets a run go on that was paused or paused itself. */
export async function resumeExecution({ id }: { readonly id: string }, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    await findResource(client, findKind("execution"), id);
    await client.executions.resume(id);
    io.stdout.write(`execution ${id} goes on\n`);
  });
}

export interface MessageOptions {
  readonly id: string;
  readonly text: string;
  /** Names the message, so that sending it again changes nothing. */
  readonly messageId?: string;
}

/** Says something to a run, which its agent hears before its next model call. */
export async function messageExecution({ id, text, messageId }: MessageOptions, io: CommandIo): Promise<void> {
  if (text.trim() === "") throw new CliError("usage", "the message is empty: say what the agent is to hear");
  await withClient(io, async ({ client }) => {
    await findResource(client, findKind("execution"), id);
    await client.executions.sendMessage(id, text, { messageId });
    io.stdout.write(`execution ${id} hears it before its next step\n`);
  });
}
