import { isTerminal } from "@stigmer/status";
import type { CommandIo } from "../../command-io.ts";
import { exitCodes } from "../../errors.ts";
import { findAgent } from "../../resources/find-agent.ts";
import type { SandboxName } from "../../resources/sandbox-type.ts";
import { type Connection, withClient } from "../../server-connection/with-client.ts";
import { attendRun } from "../run/attend-run.ts";
import { readRunEnvironment } from "../run/run-environment.ts";
import { AGENT_ADVICE, assertSandbox, checkWorkspace, startRun } from "../run/start-run.ts";
import { agentOfSession } from "../session/agent-of-session.ts";
import { readLines } from "./read-lines.ts";

export interface ChatOptions {
  /** Name or id; with a session it is that one's. */
  readonly agent?: string;
  readonly session?: string;
  readonly workspace?: string;
  /** As for a run. */
  readonly sandbox?: SandboxName;
  readonly env: readonly string[];
  readonly secret: readonly string[];
  readonly model?: string;
}

const help = `/session  tell the session's id
/cancel   cancel what is under way in the session, also elsewhere
/exit     end the chat; so does Ctrl-D
Ctrl-C cancels the turn that is under way.
`;

/** Talks with an agent in one session, a run for each turn. Answers 4 when a turn waits for approval and nobody can be asked. */
export async function chat(options: ChatOptions, io: CommandIo): Promise<number> {
  const variables = await readRunEnvironment(options, io);
  const secrets = Object.values(variables).flatMap(({ value, isSecret }) => (isSecret ? [value] : []));
  return await withClient(io, async ({ client, endpoint }) => {
    let sessionId = options.session;
    const known = sessionId === undefined ? undefined : await agentOfSession(client, sessionId);
    if (known) assertSandbox(known.session, options.sandbox);
    // Looked up before anything is typed: who is not there can't be talked with.
    const agent = known?.agentId ?? (await findAgent(client, options.agent ?? "", AGENT_ADVICE)).metadata?.id;
    const workspaceDir = options.workspace && (await checkWorkspace(options.workspace, { cwd: io.cwd, endpoint }));

    /** A run of its own, shown to its end. */
    async function say(message: string): Promise<number> {
      const execution = await startRun(client, {
        agent: options.agent ?? agent ?? "",
        message,
        sessionId,
        ...(sessionId === undefined && { workspaceDir, sandbox: options.sandbox }),
        model: options.model,
        variables,
      });
      sessionId = execution.spec?.sessionId;
      const executionId = execution.metadata?.id ?? "";
      return await attendRun({ client, executionId, json: false, secrets, onInterrupt: "cancel" }, io);
    }

    if (io.stdin.isTTY === true) io.stderr.write("/help tells what else can be said here.\n");
    const lines = readLines(io);
    try {
      for (let line = await lines.next(); line !== undefined; line = await lines.next()) {
        const said = line.trim();
        if (said === "/exit" || said === "/quit") break;
        if (said === "") continue;
        if (said.startsWith("/")) io.stderr.write(await answer(said, { client, sessionId }));
        else if ((await say(said)) === exitCodes["waiting-for-approval"]) return exitCodes["waiting-for-approval"];
      }
    } finally {
      lines.close();
    }
    if (sessionId !== undefined) io.stderr.write(`Go on with it: stigmer chat --session ${sessionId}\n`);
    return 0;
  });
}

/** What the chat itself says to a line that begins with `/`. */
async function answer(
  command: string,
  { client, sessionId }: Pick<Connection, "client"> & { readonly sessionId?: string },
): Promise<string> {
  switch (command) {
    case "/help":
      return help;
    case "/session":
      return `${sessionId ?? "There is no session yet: it begins with what you say."}\n`;
    case "/cancel": {
      const cancelled: string[] = [];
      for await (const { metadata, status } of sessionId === undefined
        ? []
        : client.executions.listBySession(sessionId)) {
        if (metadata === undefined || (status !== undefined && isTerminal(status.phase))) continue;
        await client.executions.cancel(metadata.id, "cancelled in the chat");
        cancelled.push(`${metadata.id} is being cancelled\n`);
      }
      return cancelled.join("") || "Nothing is under way.\n";
    }
    default:
      return `There is no ${command}: /help tells what there is.\n`;
  }
}
