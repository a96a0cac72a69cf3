import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, populate } from "dotenv";
import { ConfigError } from "./problems.ts";

export interface LoadDotEnvOptions {
  /** Looked in first. */
  readonly cwd: string;
  /** The folder of the program's entry point, looked in when `cwd` has no `.env`. */
  readonly entryDir: string;
  /** Filled in place. Default: `process.env`. */
  readonly env?: Record<string, string | undefined>;
}

/**
 * Fills the environment from the first `.env` found, and returns its path. What is set stays, even when set to nothing:
 * that is how one unsets a line of the file. Without a file, or with `ENV=production`, nothing happens. For the
 * agent-runner's own start alone: a command run in a stranger's folder must not take that folder's settings.
 * Throws `ConfigError` when the file is there and can't be read.
 */
export function loadDotEnv(options: LoadDotEnvOptions): string | undefined {
  const { cwd, entryDir, env = process.env } = options;
  if (env["ENV"]?.trim().toLowerCase() === "production") return undefined;
  for (const path of [join(cwd, ".env"), join(entryDir, ".env")]) {
    const text = readIfThere(path);
    if (text === undefined) continue;
    populate(env as Record<string, string>, parse(text));
    return path;
  }
  return undefined;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown reason";
    // A folder of that name is a virtual environment's, not a settings file.
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return undefined;
    const message = `${path} can't be read (${code}): make it readable for this user, or remove it`;
    throw new ConfigError([{ code: "bad-file", path, message }], { cause });
  }
}
