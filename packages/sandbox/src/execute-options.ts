// What a caller of `execute` may leave out, and what is refused before anything runs. The same for every backend.
import { SandboxError } from "./errors.ts";
import type { ExecuteOptions, SpawnOptions } from "./sandbox.ts";

const defaultTimeoutMs = 120_000;
const defaultMaxOutputBytes = 1024 * 1024;

/** Node's timers hold no more than this; a longer delay would fire at once. About 25 days. */
const longestTimeoutMs = 2 ** 31 - 1;
const mostOutputBytes = 1024 ** 3;

/** `ExecuteOptions` with the defaults filled in. */
export interface ExecuteRequest extends ExecuteOptions {
  readonly command: string;
  readonly timeoutMs: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly maxOutputBytes: number;
}

/** Throws `invalid-argument`, naming the option. */
export function toExecuteRequest(command: string, options: ExecuteOptions = {}): ExecuteRequest {
  const { timeoutMs = defaultTimeoutMs, maxOutputBytes = defaultMaxOutputBytes } = options;
  if (typeof command !== "string" || command.includes("\0")) {
    throw invalid("command", "a string without NUL characters", command);
  }
  if (!(Number.isFinite(timeoutMs) && timeoutMs > 0)) {
    throw invalid("timeoutMs", "a positive number of milliseconds", timeoutMs);
  }
  if (!(Number.isInteger(maxOutputBytes) && maxOutputBytes >= 0 && maxOutputBytes <= mostOutputBytes)) {
    throw invalid("maxOutputBytes", `a whole number from 0 to ${mostOutputBytes}`, maxOutputBytes);
  }
  return {
    ...options,
    command,
    timeoutMs: Math.min(timeoutMs, longestTimeoutMs),
    maxOutputBytes,
    cwd: options.cwd ?? "",
    env: checkEnvironment(options.env ?? {}, "env"),
  };
}

/** `SpawnOptions` with the defaults filled in. */
export interface SpawnRequest extends SpawnOptions {
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly maxOutputBytes: number;
}

/** Throws `invalid-argument`, naming the option. */
export function toSpawnRequest(command: string, options: SpawnOptions = {}): SpawnRequest {
  const { timeoutMs, ...checked } = toExecuteRequest(command, options);
  return { ...checked, ...(options.timeoutMs !== undefined && { timeoutMs }) };
}

/** Throws `invalid-argument` for a name or value that no process could be given. Never repeats a value: it may be secret. */
export function checkEnvironment(
  env: Readonly<Record<string, string>>,
  option: string,
): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(env)) {
    if (name === "" || /[=\0]/.test(name)) throw invalid(option, "names without '=' and NUL characters", name);
    if (typeof value !== "string" || value.includes("\0")) {
      throw new SandboxError("invalid-argument", `Expected ${option}.${name} to be a string without NUL characters.`);
    }
  }
  return env;
}

function invalid(option: string, expected: string, actual: unknown): SandboxError {
  const shown = typeof actual === "string" ? JSON.stringify(actual.slice(0, 100)) : String(actual);
  return new SandboxError("invalid-argument", `Expected ${option} to be ${expected}, got ${shown} (${typeof actual}).`);
}
