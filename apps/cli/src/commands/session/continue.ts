import type { CommandIo } from "../../command-io.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { run, type RunOptions } from "../run/run.ts";
import { agentOfSession } from "./agent-of-session.ts";

export interface ContinueOptions extends Omit<RunOptions, "agent" | "session" | "workspace" | "sandbox"> {
  /** The session's. */
  readonly id: string;
}

/** Starts the next run of a session with the agent that it is with. */
export async function continueSession({ id, ...options }: ContinueOptions, io: CommandIo): Promise<number> {
  const { agentId } = await withClient(io, ({ client }) => agentOfSession(client, id));
  return await run({ ...options, agent: agentId, session: id }, io);
}
