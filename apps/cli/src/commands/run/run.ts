import { UnknownOutcomePolicy, WhenBusy } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import type { SandboxName } from "../../resources/sandbox-type.ts";
import { createRunPrinter } from "../../output/run-view/create-run-printer.ts";
import { type Connection, withClient } from "../../server-connection/with-client.ts";
import { traced } from "../../traced.ts";
import { attendRun } from "./attend-run.ts";
import { readRunEnvironment } from "./run-environment.ts";
import { readRunLimits } from "./run-limits.ts";
import { checkWorkspace, startRun } from "./start-run.ts";

export interface RunOptions {
  /** Name or id. */
  readonly agent: string;
  readonly message: string;
  /** A directory to work in as it is; relative to the user's. */
  readonly workspace?: string;
  /** Of a new session; of another one it must be this. */
  readonly sandbox?: SandboxName;
  readonly env: readonly string[];
  readonly secret: readonly string[];
  readonly model?: string;
  readonly session?: string;
  readonly whenBusy?: "queue" | "steer" | "interrupt" | "refuse";
  readonly limit: readonly string[];
  /** US dollars. */
  readonly budget?: number;
  readonly onUnknownOutcome?: "tell-agent" | "pause";
  /** What would be asked, runs. */
  readonly yes?: boolean;
  readonly json?: boolean;
  readonly detach?: boolean;
}

const policies = {
  "tell-agent": UnknownOutcomePolicy.TELL_AGENT,
  pause: UnknownOutcomePolicy.PAUSE,
} as const;

const whenBusy = {
  queue: WhenBusy.QUEUE,
  steer: WhenBusy.STEER,
  interrupt: WhenBusy.INTERRUPT,
  refuse: WhenBusy.REFUSE,
} as const;

/** Starts a run and shows it to its end. */
export async function run(options: RunOptions, io: CommandIo): Promise<number> {
  const { agent, message, workspace, session: sessionId, model, json = false } = options;
  if (message.trim() === "") throw new CliError("usage", "the message is empty: say what the agent is to do");
  const variables = await readRunEnvironment(options, io);
  const secrets = Object.values(variables).flatMap(({ value, isSecret }) => (isSecret ? [value] : []));
  const limits = readRunLimits(options);
  const start = async ({ client, endpoint }: Connection): Promise<number> => {
    const workspaceDir = workspace && (await checkWorkspace(workspace, { cwd: io.cwd, endpoint }));
    const execution = await startRun(client, {
      agent,
      message,
      workspaceDir,
      sandbox: options.sandbox,
      sessionId,
      model,
      variables,
      unknownOutcome: options.onUnknownOutcome && policies[options.onUnknownOutcome],
      whenBusy: options.whenBusy && whenBusy[options.whenBusy],
      limits,
      autoApprove: options.yes,
    });
    const executionId = execution.metadata?.id ?? "";
    const started = { sessionId: execution.spec?.sessionId ?? "" };
    if (options.detach) {
      if (json) createRunPrinter({ executionId, json }, io).begin(started);
      else io.stdout.write(`${executionId}\n`);
      io.stderr.write(`Watch it: stigmer execution watch ${executionId}\n`);
      return 0;
    }
    return await attendRun({ client, executionId, json, secrets, onBegin: (printer) => printer.begin(started) }, io);
  };
  return await traced("stigmer run", io, () => withClient(io, start));
}
