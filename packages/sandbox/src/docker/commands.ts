// The commands of one sandbox, and what they leave running.
import { createBackgroundCommands } from "../background-commands.ts";
import { SandboxError } from "../errors.ts";
import { toExecuteRequest, toSpawnRequest, type ExecuteRequest } from "../execute-options.ts";
import { createExecuteOutput, discard } from "../host-processes/capture.ts";
import type { ExecuteResult, Sandbox } from "../sandbox.ts";
import { runInContainer, type ContainerCommand, type RunningContainerCommand } from "./run-in-container.ts";
import type { ContainerContext } from "./run-in-container.ts";

export interface CommandsOptions {
  /** What commands start from, beside what is asked for them. May be secret. */
  readonly env: Readonly<Record<string, string>>;
  /** The directory as the caller gave it, as it is in the container. Throws what is wrong with it. */
  locate(cwd: string): Promise<string>;
  nextMark(): string;
  readonly container: Omit<ContainerContext, "mark">;
}

export interface Commands extends Pick<Sandbox, "execute" | "spawn" | "processes" | "process"> {
  /** Throws `sandbox-gone` after `end`. */
  assertUsable(): void;
  /** The marks of those that run or left something running. */
  living(): Iterable<string>;
  /** Nothing is started any more, and all that waits is told so once `killed` has resolved. */
  end(killed: Promise<void>): Promise<void>;
}

export function createCommands(options: CommandsOptions): Commands {
  const running = new Set<RunningContainerCommand>();
  let ended = false;

  const assertUsable = (): void => {
    if (ended) throw new SandboxError("sandbox-gone", "The sandbox is disposed. Open it again by its id.");
  };

  const background = createBackgroundCommands(assertUsable);

  const start = async (
    request: Omit<ContainerCommand, "signal"> & Pick<ExecuteRequest, "signal">,
  ): Promise<RunningContainerCommand> => {
    assertUsable();
    const cwd = await options.locate(request.cwd);
    assertUsable();
    const env = { ...options.env, ...request.env };
    const run = runInContainer({ ...request, cwd, env }, { ...options.container, mark: options.nextMark() });
    running.add(run);
    const forget = (): void => void running.delete(run);
    run.ended.then(forget, forget);
    return run;
  };

  const execute = async (request: ExecuteRequest): Promise<ExecuteResult> => {
    const startedAt = new Date();
    const begun = performance.now();
    const output = createExecuteOutput(request);
    const run = await start({ ...request, sink: output });
    const exit = await run.exit;
    const { exitCode, reason } = exit;
    if (run.isLeftBehind()) {
      const finish = background.listLeftover(run, { command: request.command, startedAt, exitCode });
      void run.ended.then(finish);
    } else run.handOver(discard);
    return { exitCode, ...output.read(), durationMs: performance.now() - begun, ...(reason && { reason }) };
  };

  return {
    assertUsable,
    living: () => [...running].map(({ mark }) => mark),

    async execute(command, executeOptions) {
      assertUsable();
      return execute(toExecuteRequest(command, executeOptions));
    },

    async spawn(command, spawnOptions) {
      assertUsable();
      const request = toSpawnRequest(command, spawnOptions);
      let begun: Promise<void> | undefined;
      const process = await background.spawn(request, async (sink) => {
        const run = await start({ ...request, stdin: { open: true }, sink });
        begun = run.begun;
        return run;
      });
      await begun;
      return process;
    },

    processes: background.processes,
    process: background.process,

    async end(killed) {
      ended = true;
      await Promise.allSettled([...running].map((run) => run.stop("sandbox-gone", killed)));
    },
  };
}
