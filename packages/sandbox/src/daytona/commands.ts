// The commands of one Daytona sandbox.
import { randomUUID } from "node:crypto";
import { noInput } from "../background-commands.ts";
import { createBackgroundProcess, type BackgroundProcess } from "../background-process.ts";
import { SandboxError } from "../errors.ts";
import { toExecuteRequest, toSpawnRequest, type ExecuteRequest } from "../execute-options.ts";
import { createExecuteOutput, discard } from "../host-processes/capture.ts";
import { quote } from "../isolated/quote.ts";
import { toRelativePath } from "../paths.ts";
import { createProcessRegistry } from "../process-registry.ts";
import type { ExecuteResult, Sandbox } from "../sandbox.ts";
import { isFailure, toScriptError } from "./file-error.ts";
import type { Machine } from "./machine.ts";
import { aliveScript, killScript, type StartCommand } from "./process-scripts.ts";
import {
  failedExit,
  startCommand,
  type CommandExit,
  type RemoteCommand,
  type RemoteCommandOptions,
} from "./remote-command.ts";
import { placeFunctions } from "./shell-code.ts";

export interface CommandsOptions {
  readonly machine: Machine;
  readonly root: string;
  readonly roots: readonly string[];
  /** A directory outside the root that is ours alone. */
  readonly base: string;
  readonly shell: string;
  readonly env: Readonly<Record<string, string>>;
  /** After a time-out or an abort the result comes within this, though the server is silent. */
  readonly giveUpMs: number;
}

export interface Commands extends Pick<Sandbox, "execute" | "spawn" | "processes" | "process"> {
  /** Throws `sandbox-gone` after `end`. */
  assertUsable(): void;
  /** Ends everything that it started. Safe to call twice. */
  end(): Promise<void>;
}

/** By this variable processes are recognised that left their parents. */
const markName = "SANDBOX_PROCESS_MARK";
const leftoverOutputBytes = 1024 * 1024;
/** How often those that wait for what a command left running have it looked at. */
const watchIntervalMs = 500;
/** More input than this comes as a file. */
const inlineInputBytes = 256 * 1024;

export function createCommands(options: CommandsOptions): Commands {
  const { machine, root, roots, base } = options;
  const token = randomUUID();
  const registry = createProcessRegistry();
  const commands = new Set<RemoteCommand>();
  const leftovers = new Map<string, RemoteCommand>();
  /** Directories that only take room. */
  let over: string[] = [];
  let started = 0;
  let ended: Promise<void> | undefined;

  const assertUsable = (): void => {
    if (ended) throw new SandboxError("sandbox-gone", `The sandbox ${machine.remote.id} is disposed. Open it again.`);
  };

  const begin = async (
    request: Pick<ExecuteRequest, "command" | "cwd" | "env"> & Partial<Pick<ExecuteRequest, "signal" | "timeoutMs">>,
    {
      stdin,
      ...output
    }: Pick<RemoteCommandOptions, "sink" | "enoughStdout" | "enoughStderr"> & Pick<StartCommand, "stdin">,
  ): Promise<RemoteCommand> => {
    assertUsable();
    const directory = `${base}/run.${started}`;
    const mark = `${token}.${started++}.`;
    const path = toRelativePath(request.cwd, roots);
    const discarded = over;
    over = [];
    const input = typeof stdin === "object" && "file" in stdin ? [stdin.file] : [];
    const command = startCommand({
      machine,
      directory,
      command: request.command,
      shell: options.shell,
      env: { ...options.env, ...request.env, [markName]: mark },
      ...(stdin !== undefined && { stdin }),
      mark: `${markName}=${mark}`,
      giveUpMs: options.giveUpMs,
      enter: enterCode(root, path),
      discard: discarded,
      timeoutMs: request.timeoutMs,
      signal: request.signal,
      ...output,
      checkStart(lines) {
        const failure = lines.find(isFailure);
        if (failure !== undefined) throw toScriptError(failure, request.cwd);
      },
    });
    commands.add(command);
    void command.gone.then(() => {
      commands.delete(command);
      leftovers.delete(directory);
      over.push(directory, ...input);
      return undefined;
    });
    return command;
  };

  const toInput = async (stdin: string | Uint8Array | undefined): Promise<StartCommand["stdin"]> => {
    if (stdin === undefined) return undefined;
    const bytes = Buffer.from(stdin as string);
    if (bytes.length <= inlineInputBytes) return bytes;
    const file = `${base}/stdin.${started}.${randomUUID()}`;
    await machine.upload([{ source: bytes, destination: file }]);
    return { file };
  };

  /** What goes on in the background after its shell has exited is listed too. */
  const listLeftover = (command: RemoteCommand, text: string, exitCode: number): void => {
    const process: BackgroundProcess = createBackgroundProcess({
      id: registry.nextId(),
      command: text,
      origin: "execute",
      startedAt: new Date(),
      maxOutputBytes: leftoverOutputBytes,
      means: {
        ...meansOf(command),
        write: () => Promise.reject(noInput()),
        closeStdin: async () => {},
        watch() {
          const look = async (): Promise<void> => {
            await refresh();
            if (command.isRunning()) setTimeout(() => void look().catch(() => {}), watchIntervalMs).unref();
            else process.finish(exitCode);
          };
          look().catch(() => {});
        },
      },
    });
    void command.gone.then(() => process.finish(exitCode));
    leftovers.set(command.directory, command);
    command.handOver(process);
    registry.add(process.handle);
  };

  /** Nobody tells when the last of what a command left behind has ended. */
  const refresh = async (): Promise<void> => {
    const asked = [...leftovers.values()].filter((command) => command.isRunning());
    if (asked.length === 0) return;
    const script = aliveScript(asked.map(({ directory }) => directory));
    const output = await machine.run(script, { what: "look for processes", idempotent: true });
    if (output === undefined) return;
    const alive = new Set(output.split("\n"));
    for (const command of asked) if (!alive.has(command.directory)) command.ended();
  };

  const end = async (): Promise<void> => {
    const running = [...commands];
    const directories = running.map(({ directory }) => directory);
    const mark = `${markName}=${token}.`;
    const what = "end what runs in it";
    const killed =
      running.length === 0
        ? Promise.resolve()
        : machine.run(killScript({ directories, mark }), { what, idempotent: true, seconds: 10 });
    const [outcome] = await Promise.allSettled([
      killed,
      ...running.map((command) => command.stop("sandbox-gone", killed)),
    ]);
    // Gone, or silent: whatever is left goes with the sandbox.
    if (outcome.status === "rejected") return;
    // What watched a command may still make a file in it.
    const removing = `n=0; until rm -rf ${base} 2>/dev/null || [ $n = 20 ]; do sleep 0.05; n=$((n + 1)); done`;
    await machine.run(removing, { what: "clean up", idempotent: true }).catch(() => {});
  };

  return {
    assertUsable,

    async execute(text, executeOptions) {
      assertUsable();
      const request = toExecuteRequest(text, executeOptions);
      const begun = performance.now();
      const output = createExecuteOutput(request);
      const result = (exit: CommandExit): ExecuteResult => {
        const reason = exit.reason && { reason: exit.reason };
        return { exitCode: exit.exitCode, ...output.read(), durationMs: performance.now() - begun, ...reason };
      };
      let stdin: StartCommand["stdin"];
      try {
        stdin = request.signal?.aborted ? undefined : await toInput(request.stdin);
      } catch (error) {
        output.push("stderr", Buffer.from(`${(error as Error).message}\n`));
        return result(failedExit(error));
      }
      const command = await begin(request, {
        sink: output,
        stdin,
        enoughStdout: request.onStdout === undefined ? request.maxOutputBytes : undefined,
        enoughStderr: request.onStderr === undefined ? request.maxOutputBytes : undefined,
      });
      const exit = await command.exit;
      if (command.isRunning()) listLeftover(command, request.command, exit.exitCode);
      else command.handOver(discard);
      return result(exit);
    },

    async spawn(text, spawnOptions) {
      assertUsable();
      const request = toSpawnRequest(text, spawnOptions);
      let command: RemoteCommand | undefined;
      const process = createBackgroundProcess({
        id: registry.nextId(),
        command: text,
        origin: "spawn",
        startedAt: new Date(),
        maxOutputBytes: request.maxOutputBytes,
        onStdout: request.onStdout,
        onStderr: request.onStderr,
        means: {
          isRunning: () => command?.isRunning() ?? true,
          write: async (input) => command?.write(Buffer.from(input as string)),
          closeStdin: async () => command?.closeStdin(),
          kill: async (signal) => command && meansOf(command).kill(signal),
        },
      });
      command = await begin(request, { sink: process, stdin: "open" });
      await command.started;
      command.exit.then(({ exitCode, reason }) => process.finish(exitCode, reason), process.fail);
      registry.add(process.handle);
      return process.handle;
    },

    async processes() {
      assertUsable();
      await refresh();
      return registry.list();
    },

    async process(id) {
      assertUsable();
      return registry.get(id);
    },

    end() {
      ended ??= end();
      return ended;
    },
  };
}

const enterCode = (root: string, path: string): string => `
root=${quote(root)}
${placeFunctions.replace("export LC_ALL=C", "")}
cd -P -- "$root" 2>/dev/null || fail ENOENT
enter ${quote(path)}`;

function meansOf(
  command: RemoteCommand,
): Pick<Parameters<typeof createBackgroundProcess>[0]["means"], "isRunning" | "kill"> {
  return {
    isRunning: () => command.isRunning(),
    async kill(name) {
      if (name === "SIGKILL") await command.stop("killed");
      else await command.signalGroup(name);
    },
  };
}
