import { create } from "@bufbuild/protobuf";
import { AgentExecutionSchema, type StatusDelta } from "@stigmer/protos/agentexecution/v1";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { plainText } from "../../output/plain-text.ts";
import { findKind, findResource } from "../../resources/kinds.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { type LogEntry, logEntries } from "./log-entries.ts";

export interface LogsOptions {
  readonly id: string;
  /** Go on until the run has ended. */
  readonly follow?: boolean;
}

/** What a run did, each line with its time and who did it. */
export async function executionLogs({ id, follow = false }: LogsOptions, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const execution = (await findResource(client, findKind("execution"), id)) as AgentExecution;
    const told = new Set<string>();
    const tell = (entries: readonly LogEntry[]): void => {
      for (const entry of entries) {
        if (told.has(entry.key)) continue;
        told.add(entry.key);
        io.stdout.write(showEntry(entry));
      }
    };
    tell(logEntries(execution));
    if (!follow) return;
    const stopped = new AbortController();
    const stopListening = io.onSignal(() => stopped.abort());
    try {
      for await (const { status, delta } of client.executions.watch(id, { signal: stopped.signal })) {
        if (delta === undefined || saysMore(delta)) tell(logEntries(create(AgentExecutionSchema, { status })));
      }
    } catch (error) {
      if (!stopped.signal.aborted) throw error;
    } finally {
      stopListening();
    }
  });
}

/** Whether something may have become final: a piece of text alone makes nothing so. */
function saysMore({ changes }: StatusDelta): boolean {
  return changes.some(({ change }) => change.case !== "textAppended");
}

function showEntry({ at, who, text }: LogEntry): string {
  return plainText(text)
    .split("\n")
    .map((line) => `${at} ${plainText(who)}: ${line}`.trimEnd())
    .join("\n")
    .concat("\n");
}
