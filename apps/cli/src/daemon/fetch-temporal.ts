import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { chmod, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { variables } from "@stigmer/config";
import { CliError } from "../errors.ts";
import { makeDirectory } from "./make-directory.ts";

export const TEMPORAL_VERSION = "1.5.1";

export interface FetchTemporalOptions {
  readonly binDir: string;
  /** Names a mirror. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Default: this machine's. */
  readonly machine?: { readonly platform: string; readonly arch: string };
}

const platforms: Readonly<Record<string, string>> = { linux: "linux", darwin: "darwin" };
const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/**
 * Fetches Temporal's command line, and puts it in its place when it is whole and has the checksum of its release. Resolves with
 * the path. Throws `CliError`, or the reason of `signal`; then nothing is left of it.
 */
export async function fetchTemporal({ binDir, env, signal, machine = process }: FetchTemporalOptions): Promise<string> {
  const platform = platforms[machine.platform];
  const arch = architectures[machine.arch];
  if (!platform || !arch) {
    throw refusal(`there is no Temporal for ${machine.platform} on ${machine.arch}`);
  }
  const archive = `temporal_cli_${TEMPORAL_VERSION}_${platform}_${arch}.tar.gz`;
  const base = env["STIGMER_TEMPORAL_DOWNLOAD_URL"]?.trim() || variables.STIGMER_TEMPORAL_DOWNLOAD_URL.local.value;
  const release = `${base.replace(/\/+$/, "")}/v${TEMPORAL_VERSION}`;
  makeDirectory(binDir);
  const folder = await mkdtemp(join(binDir, ".fetch-"));
  try {
    const checksums = await (await get(`${release}/checksums.txt`, signal)).text();
    const published = checksums.split("\n").find((line) => line.trim().endsWith(` ${archive}`));
    const expected = /^[0-9a-f]{64}(?=\s)/.exec(published ?? "")?.[0];
    if (!expected) throw refusal(`${release}/checksums.txt has no checksum of ${archive}`);
    const file = join(folder, "archive");
    const actual = await download(`${release}/${archive}`, file, signal);
    if (actual !== expected) {
      throw refusal(`${archive} has the checksum ${actual}, and should have ${expected}: it was thrown away`);
    }
    await unpack(file, folder);
    const program = join(binDir, "temporal");
    await chmod(join(folder, "temporal"), 0o755);
    await rename(join(folder, "temporal"), program);
    return program;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function get(url: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    signal.throwIfAborted();
    const { cause } = error as { cause?: { code?: string } };
    throw refusal(`${url} can't be reached (${cause?.code ?? (error as Error).message})`, error);
  }
  if (response.ok) return response;
  await response.body?.cancel();
  throw refusal(`${url} answers ${response.status}`);
}

/** Writes the file and tells its SHA-256. */
async function download(url: string, file: string, signal: AbortSignal): Promise<string> {
  const { body } = await get(url, signal);
  const hash = createHash("sha256");
  if (body === null) return hash.digest("hex");
  const hashed = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
  try {
    await pipeline(body, hashed, createWriteStream(file, { mode: 0o600 }), { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw refusal(`${url} broke off (${(error as Error).message})`, error);
  }
  return hash.digest("hex");
}

/** `tar` is on every Linux and macOS. */
async function unpack(archive: string, folder: string): Promise<void> {
  try {
    await promisify(execFile)("tar", ["-xzf", archive, "-C", folder, "temporal"]);
  } catch (error) {
    throw refusal(
      `the archive can't be unpacked by tar (${(error as Error).message.trim().split("\n").at(-1)})`,
      error,
    );
  }
}

function refusal(reason: string, cause?: unknown): CliError {
  const advice =
    "try again, name a mirror with STIGMER_TEMPORAL_DOWNLOAD_URL, or install it yourself (https://docs.temporal.io/cli)";
  return new CliError("failed", `Temporal was not fetched: ${reason}. To go on, ${advice}.`, { cause });
}
