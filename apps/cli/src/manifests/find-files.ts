import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join, relative, resolve } from "node:path";
import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";

/** A file's text, under the name that messages give it. */
export interface ManifestFile {
  readonly name: string;
  readonly text: string;
  /** Named by the user. Others came with their folder, and need not be manifests. */
  readonly named: boolean;
}

const extensions: ReadonlySet<string> = new Set([".yaml", ".yml", ".json"]);

/** Reads what `-f` names: a file, the manifests of a folder (not of its sub-folders), or `-` for standard input. */
export async function findFiles(path: string, io: Pick<CommandIo, "cwd" | "stdin">): Promise<ManifestFile[]> {
  if (path === "-") return [{ name: "<stdin>", text: await readAll(io.stdin), named: true }];
  const target = resolve(io.cwd, path);
  const name = (file: string): string => relative(io.cwd, file) || file;
  try {
    if (!(await stat(target)).isDirectory()) return [{ name: path, text: await readFile(target, "utf8"), named: true }];
    const entries = await readdir(target, { withFileTypes: true });
    const files = entries
      .filter((entry) => !entry.isDirectory() && extensions.has(extname(entry.name).toLowerCase()))
      .map((entry) => join(target, entry.name))
      .sort();
    if (files.length === 0) {
      throw new CliError("failed", `${path} has no .yaml, .yml or .json file (sub-folders are not searched)`);
    }
    return await Promise.all(
      files.map(async (file) => ({ name: name(file), text: await readFile(file, "utf8"), named: false })),
    );
  } catch (error) {
    if (CliError.is(error)) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "ENOENT"
        ? "there is no such file or folder: name one that is there, or - for standard input"
        : `can't be read (${code ?? String(error)})`;
    throw new CliError("failed", `${path}: ${reason}`, { cause: error });
  }
}

async function readAll(stream: AsyncIterable<Buffer | string>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}
