// The commands of one sandbox, and what they leave running.
import { createBackgroundProcess, type BackgroundProcess } from "../background-process.ts";
import { SandboxError } from "../errors.ts";
import { toExecuteRequest, toSpawnRequest, type ExecuteRequest } from "../execute-options.ts";
import { createExecuteOutput, discard } from "../host-processes/capture.ts";
import { createProcessRegistry } from "../process-registry.ts";
import type { ExecuteResult, Sandbox, SandboxProcess } from "../sandbox.ts";
import { runInContainer, type ContainerCommand, type RunningContainerCommand } from "./run-in-container.ts";
import type { ContainerContext } from "./run-in-container.ts";

/** What a background child prints after its shell has exited. */
const leftoverOutputBytes = 1024 * 1024;

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
  const registry = createProcessRegistry();
  let ended = false;

  const assertUsable = (): void => {
    if (ended) throw new SandboxError("sandbox-gone", "The sandbox is disposed. Open it again by its id.");
  };

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

  /** What goes on in the background after its shell has exited is listed too. */
  const listLeftover = (run: RunningContainerCommand, command: string, startedAt: Date, exit: number): void => {
    const process: BackgroundProcess = createBackgroundProcess({
      id: registry.nextId(),
      command,
      origin: "execute",
      startedAt,
      maxOutputBytes: leftoverOutputBytes,
      means: meansOf(run),
    });
    run.handOver(process);
    registry.add(process.handle);
    void run.ended.then(() => process.finish(exit));
  };

  const execute = async (request: ExecuteRequest): Promise<ExecuteResult> => {
    const startedAt = new Date();
    const begun = performance.now();
    const output = createExecuteOutput(request);
    const run = await start({ ...request, sink: output });
    const exit = await run.exit;
    if (run.isLeftBehind()) listLeftover(run, request.command, startedAt, exit.exitCode);
    else run.handOver(discard);
    const { exitCode, reason } = exit;
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
      // The process takes output as soon as it runs, and its handle needs what runs.
      let run: RunningContainerCommand | undefined;
      const process = createBackgroundProcess({
        id: registry.nextId(),
        command,
        origin: "spawn",
        startedAt: new Date(),
        maxOutputBytes: request.maxOutputBytes,
        onStdout: request.onStdout,
        onStderr: request.onStderr,
        means: meansOf({
          get input() {
            return run?.input;
          },
          isRunning: () => run?.isRunning() ?? true,
          stop: async (reason) => run?.stop(reason),
          signal: async (name) => run?.signal(name),
        }),
      });
      const started = await start({ ...request, stdin: { open: true }, sink: process });
      run = started;
      registry.add(process.handle);
      const tellEnd = async (): Promise<void> => {
        try {
          const { exitCode, reason } = await started.exit;
          process.finish(exitCode, reason);
        } catch (error) {
          process.fail(error);
        }
        if (!started.isLeftBehind()) process.endOutput();
      };
      void tellEnd();
      await started.begun;
      return process.handle;
    },

    async processes() {
      assertUsable();
      return registry.list();
    },

    async process(id) {
      assertUsable();
      return registry.get(id);
    },

    async end(killed) {
      ended = true;
      await Promise.allSettled([...running].map((run) => run.stop("sandbox-gone", killed)));
    },
  };
}

type Means = Pick<SandboxProcess, "write" | "closeStdin"> & {
  isRunning(): boolean;
  kill: SandboxProcess["kill"];
};

function meansOf(run: Pick<RunningContainerCommand, "input" | "isRunning" | "stop" | "signal">): Means {
  return {
    isRunning: () => run.isRunning(),
    async write(input) {
      const stream = run.input;
      if (stream === undefined) throw noInput();
      await new Promise<void>((resolve, reject) => {
        stream.write(input as string, (error) => (error ? reject(noInput(error)) : resolve()));
      });
    },
    async closeStdin() {
      const stream = run.input;
      if (stream === undefined) return;
      await new Promise<void>((resolve) => stream.end(resolve));
    },
    async kill(name = "SIGKILL") {
      if (name === "SIGKILL") await run.stop("killed");
      else await run.signal(name);
    },
  };
}

function noInput(cause?: unknown): SandboxError {
  const message = "The process takes no input: it has ended, has closed its input, or was left running by `execute`.";
  return new SandboxError("process-ended", message, { cause });
}
