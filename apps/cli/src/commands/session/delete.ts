import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { promptStreams } from "../../output/prompts.ts";
import { deleteResources } from "../delete.ts";

export interface DeleteSessionOptions {
  readonly id: string;
  /** Ask nobody. */
  readonly yes?: boolean;
}

/** Deletes a session with all its runs, once somebody has said that this is meant. */
export async function deleteSession({ id, yes = false }: DeleteSessionOptions, io: CommandIo): Promise<number> {
  if (!yes) await confirmDeletion(id, io);
  return await deleteResources({ kind: "session", names: [id] }, io);
}

async function confirmDeletion(id: string, io: CommandIo): Promise<void> {
  if (io.stdin.isTTY !== true) {
    throw new CliError("usage", `session delete ${id}: there is no terminal to ask on: say --yes when it is meant`);
  }
  const { confirm } = await import("@clack/prompts");
  const message = `Delete session ${id} with all its runs?`;
  const answer = await confirm({ ...promptStreams(io), message, initialValue: false });
  if (answer !== true) throw new CliError("interrupted", "Nothing was deleted.");
}
