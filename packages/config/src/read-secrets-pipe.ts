import { createReadStream } from "node:fs";
import { text } from "node:stream/consumers";
import { z } from "zod";
import type { Environment } from "./environment.ts";

const secretsSchema: z.ZodType<Record<string, string>> = z.record(z.string(), z.string());

/**
 * Reads the secrets that the daemon hands over: one JSON object of variable names to values, on the file descriptor that
 * `STIGMER_SECRETS_FD` names. They come by a pipe because a command of an agent can read `/proc/<runner>/environ`, and
 * they stay out of `process.env` for the same reason. Answers an empty object when there is no such pipe.
 */
export async function readSecretsPipe(env: Environment): Promise<Record<string, string>> {
  const fd = env["STIGMER_SECRETS_FD"];
  if (fd === undefined || fd === "") return {};
  if (!/^\d+$/.test(fd)) throw new Error(`STIGMER_SECRETS_FD must be a file descriptor's number, not "${fd}"`);
  return parseSecrets(await text(createReadStream("", { fd: Number(fd) })));
}

/** Reads the JSON object that secrets are handed over in. Throws without quoting any of it. */
export function parseSecrets(json: string): Record<string, string> {
  if (json.trim() === "") return {};
  try {
    return secretsSchema.parse(JSON.parse(json));
  } catch {
    // Neither the parser's message nor the schema's may be shown: both quote the input.
    throw new Error("the secrets on STIGMER_SECRETS_FD are not a JSON object of strings");
  }
}
