// The commands of one sandbox that run in the background, for drivers that hand out a stream to write to.
import { createBackgroundProcess, type BackgroundProcess, type ProcessMeans } from "./background-process.ts";
import { SandboxError } from "./errors.ts";
import type { SpawnRequest } from "./execute-options.ts";
import type { OutputSink } from "./host-processes/capture.ts";
import { createProcessRegistry } from "./process-registry.ts";
import type { FailureReason, ProcessSignal, Sandbox, SandboxProcess } from "./sandbox.ts";

/** What a background child prints after its shell has exited. */
const leftoverOutputBytes = 1024 * 1024;

/** A command as its driver runs it. */
export interface BackgroundCommand {
  readonly exit: Promise<{ readonly exitCode: number; readonly reason?: FailureReason }>;
  /** Where input goes, as long as it is taken. */
  readonly input: NodeJS.WritableStream | undefined;
  /** Whether the shell, or a background child that outlived it, still runs. */
  isRunning(): boolean;
  /** Whether background children outlived the shell. For sure once `exit` has settled. */
  isLeftBehind(): boolean;
  stop(reason: "killed"): Promise<void>;
  signal(name: ProcessSignal): void | Promise<void>;
  handOver(sink: OutputSink): void;
}

/** A command of `execute` whose shell has exited. */
export interface Leftover {
  readonly command: string;
  readonly startedAt: Date;
  readonly exitCode: number;
  /** Called when someone begins to wait, where nobody tells that all of it has ended: `finish` is to be called then. */
  watch?(finish: () => void): void;
}

export interface BackgroundCommands extends Pick<Sandbox, "processes" | "process"> {
  /** Lists what `start` starts, which feeds the sink from its first byte on. */
  spawn(request: SpawnRequest, start: (sink: OutputSink) => Promise<BackgroundCommand>): Promise<SandboxProcess>;
  /** Lists what goes on in the background. Answers what is to be called when all of it has ended. */
  listLeftover(run: BackgroundCommand, leftover: Leftover): () => void;
}

/** `assertUsable` throws when the sandbox is no longer to be used. */
export function createBackgroundCommands(assertUsable: () => void): BackgroundCommands {
  const registry = createProcessRegistry();
  return {
    async spawn(request, start) {
      // The process takes output as soon as it runs, and its handle needs what runs.
      let run: BackgroundCommand | undefined;
      const process = createBackgroundProcess({
        ...request,
        id: registry.nextId(),
        origin: "spawn",
        startedAt: new Date(),
        means: meansOf({
          get input() {
            return run?.input;
          },
          isRunning: () => run?.isRunning() ?? true,
          stop: async (reason) => run?.stop(reason),
          signal: (name) => run?.signal(name),
        }),
      });
      const started = await start(process);
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
      return process.handle;
    },

    listLeftover(run, { command, startedAt, exitCode, watch }) {
      const finish = (): void => process.finish(exitCode);
      const process: BackgroundProcess = createBackgroundProcess({
        id: registry.nextId(),
        command,
        origin: "execute",
        startedAt,
        maxOutputBytes: leftoverOutputBytes,
        means: { ...meansOf(run), ...(watch && { watch: () => watch(finish) }) },
      });
      run.handOver(process);
      registry.add(process.handle);
      return finish;
    },

    async processes() {
      assertUsable();
      return registry.list();
    },

    async process(id) {
      assertUsable();
      return registry.get(id);
    },
  };
}

function meansOf(run: Pick<BackgroundCommand, "input" | "isRunning" | "stop" | "signal">): ProcessMeans {
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
    async kill(name) {
      if (name === "SIGKILL") await run.stop("killed");
      else await run.signal(name);
    },
  };
}

export function noInput(cause?: unknown): SandboxError {
  const message = "The process takes no input: it has ended, has closed its input, or was left running by `execute`.";
  return new SandboxError("process-ended", message, { cause });
}
