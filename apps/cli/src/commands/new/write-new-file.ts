import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";

export interface NewFile {
  /** The folder to make it in; absent: here. */
  readonly dir: string | undefined;
  /** Its path in there. */
  readonly path: string;
  readonly text: string;
}

/** Makes a file and the folders that lead to it, and answers its path as the user would write it. Never replaces one. */
export async function writeNewFile({ dir = ".", path, text }: NewFile, { cwd }: CommandIo): Promise<string> {
  const target = resolve(cwd, dir, path);
  const shown = relative(cwd, target).startsWith("..") ? target : relative(cwd, target) || join(dir, path);
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text, { flag: "wx" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === "EEXIST"
        ? "is there already: choose another name, or remove it"
        : `can't be made (${code ?? String(error)})`;
    throw new CliError("failed", `${shown} ${reason}`, { cause: error });
  }
  return shown;
}
