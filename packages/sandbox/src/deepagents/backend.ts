// Our port as a backend of deepagents. Paths come in as the model writes them and go out absolute, as commands see them.
import { posix } from "node:path";
import { SandboxError, type SandboxErrorCode } from "../errors.ts";
import type { ExecuteOptions, FileEntry, Sandbox } from "../sandbox.ts";
import { formatExecuteResult } from "./format-execute-result.ts";
import { mimeTypeOf } from "./mime-types.ts";
import { readLines } from "./read-lines.ts";
import type {
  DeepAgentsBackend,
  DeepAgentsFailure,
  DeepAgentsFileData,
  DeepAgentsFileError,
  DeepAgentsFileInfo,
} from "./protocol.ts";

export interface DeepAgentsBackendOptions {
  /**
   * Given to every `execute`, whose protocol carries none: time-out, environment, an abort signal. `maxOutputBytes` is
   * 100,000 by default, what deepagents' own shell backend keeps.
   */
  readonly execute?: Omit<ExecuteOptions, "stdin">;
  /**
   * How `glob` names what it finds: `"absolute"` (default), as deepagents' tool of that name promises the model, or
   * `"relative"` to the directory searched, as LangChain's own sandboxes do and their suite of tests asks for.
   */
  readonly globPaths?: "absolute" | "relative";
}

const defaultMaxOutputBytes = 100_000;
/** `read_file` refuses images and the like above this. */
const mostBinaryBytes = 10 * 1024 * 1024;
/** A text is split into lines to find the page that is asked for: longer ones are for commands. */
const mostTextBytes = 32 * 1024 * 1024;
const mostGlobResults = 10_000;

/** The sandbox stays the caller's: the backend never disposes it. */
export function toDeepAgentsBackend(sandbox: Sandbox, options: DeepAgentsBackendOptions = {}): DeepAgentsBackend {
  const { files } = sandbox;
  const real = (path: string): string => files.resolve(path);
  const executeOptions = { maxOutputBytes: defaultMaxOutputBytes, ...options.execute };

  const toFileInfo = async (entry: FileEntry): Promise<DeepAgentsFileInfo> => {
    const isDirectory =
      entry.type === "directory" || (entry.type === "symlink" && (await leadsToDirectory(entry.path)));
    return {
      path: isDirectory ? `${real(entry.path)}/` : real(entry.path),
      is_dir: isDirectory,
      size: entry.size,
      modified_at: entry.modifiedAt.toISOString(),
    };
  };

  const leadsToDirectory = async (path: string): Promise<boolean> => {
    try {
      await files.list(path);
      return true;
    } catch {
      return false;
    }
  };

  const readContent = async (path: string): Promise<{ content: string | Uint8Array; mimeType: string }> => {
    const { name, binary } = mimeTypeOf(path);
    const content = binary
      ? await files.read(path, { maxBytes: mostBinaryBytes })
      : await files.readText(path, { maxBytes: mostTextBytes });
    return { content, mimeType: name };
  };

  const findEntry = async (path: string): Promise<FileEntry | undefined> => {
    const absolute = real(path);
    const siblings = await files.list(posix.dirname(absolute));
    return siblings.find((entry) => posix.basename(entry.path) === posix.basename(absolute));
  };

  return {
    id: sandbox.id,

    async execute(command) {
      if (typeof command !== "string" || command === "") {
        return { output: "Error: Command must be a non-empty string.", exitCode: 1, truncated: false };
      }
      const result = await sandbox.execute(command, executeOptions);
      return { output: formatExecuteResult(result), exitCode: result.exitCode, truncated: result.truncated };
    },

    ls: (path) =>
      orFailure(async () => {
        // What isn't there is told as empty, as deepagents' own backends do.
        const entries = await files.list(path).catch(emptyWhenMissing);
        return { files: await Promise.all(entries.map(toFileInfo)) };
      }),

    read: (path, offset, limit) =>
      orFailure(async () => {
        const { content, mimeType } = await readContent(path);
        return typeof content === "string" ? { mimeType, ...readLines(content, offset, limit) } : { content, mimeType };
      }),

    readRaw: (path) =>
      orFailure(async () => {
        const content = await readContent(path);
        const modified = (await findEntry(path))?.modifiedAt ?? new Date(0);
        // The port doesn't know when a file was created.
        const data: DeepAgentsFileData = {
          ...content,
          created_at: modified.toISOString(),
          modified_at: modified.toISOString(),
        };
        return { data };
      }),

    write: (path, content) =>
      orFailure(async () => {
        await files.write(path, mimeTypeOf(path).binary ? fromBase64(content, path) : content);
        return { path: real(path), filesUpdate: null };
      }),

    edit: (path, oldText, newText, replaceAll) =>
      orFailure(async () => {
        // deepagents takes an empty old text as "fill the empty file".
        if (oldText === "" && (await files.read(path)).length === 0) {
          await files.write(path, newText);
          return { path: real(path), filesUpdate: null, occurrences: 0 };
        }
        const { occurrences } = await files.edit(path, oldText, newText, { replaceAll });
        return { path: real(path), filesUpdate: null, occurrences };
      }),

    delete: (path) =>
      orFailure(async () => {
        if (real(path) !== sandbox.root && (await findEntry(path)) === undefined) {
          throw new SandboxError("not-found", `${JSON.stringify(path)} does not exist.`, { path });
        }
        await files.remove(path);
        return { path: real(path), filesUpdate: null };
      }),

    grep: (text, path, glob, maxCount) =>
      orFailure(async () => {
        const found = await files.grep(text, {
          path: path ?? undefined,
          glob: glob ?? undefined,
          maxMatches: maxCount ?? undefined,
        });
        const matches = found.matches.map((match) => ({ ...match, path: real(match.path) }));
        return { matches, truncated: found.truncated };
      }),

    glob: (pattern, path = "") =>
      orFailure(async () => {
        const underRoot = pattern.startsWith(`${sandbox.root}/`);
        const cwd = underRoot ? "" : path;
        const found = await files.glob(underRoot ? pattern.slice(sandbox.root.length + 1) : pattern, {
          cwd,
          directories: true,
          maxResults: mostGlobResults + 1,
        });
        const infos = await Promise.all(found.slice(0, mostGlobResults).map(toFileInfo));
        if (options.globPaths === "relative") {
          const skipped = real(cwd).length + 1;
          for (const info of infos) info.path = info.path.slice(skipped);
        }
        return { files: infos, truncated: found.length > mostGlobResults };
      }),

    uploadFiles: (uploads) =>
      inOrder(uploads, async ([path, content]) => {
        const error = await fileError(() => files.write(path, content));
        return { path, error: error ?? null };
      }),

    downloadFiles: (paths) =>
      inOrder(paths, async (path) => {
        let content: Uint8Array | null = null;
        const error = await fileError(async () => {
          content = await files.read(path);
        });
        return { path, content, error: error ?? null };
      }),
  };
}

/** deepagents shows `error` to the model, which can do better the next time; anything else is ours to fix. */
async function orFailure<T>(operation: () => Promise<T>): Promise<T | DeepAgentsFailure> {
  try {
    return await operation();
  } catch (error) {
    if (!SandboxError.is(error)) throw error;
    const word = failureWords[error.code];
    return { error: word === undefined ? error.message : `${word}: ${error.message}` };
  }
}

/** Those by which LangChain's sandboxes tell what is wrong. */
const failureWords: Partial<Record<SandboxErrorCode, string>> = {
  "not-found": "Not found",
  "no-match": "Not found",
  "ambiguous-match": "Multiple occurrences",
};

function emptyWhenMissing(error: unknown): FileEntry[] {
  if (SandboxError.is(error) && error.code === "not-found") return [];
  throw error;
}

const fileErrors: Partial<Record<SandboxErrorCode, DeepAgentsFileError>> = {
  "not-found": "file_not_found",
  permission: "permission_denied",
  "is-directory": "is_directory",
  "not-directory": "invalid_path",
  "outside-root": "invalid_path",
  "invalid-argument": "invalid_path",
};

/** A full disk or a sandbox that is gone has no word in the protocol, and must not pass for a wrong path: it is thrown. */
async function fileError(operation: () => Promise<void>): Promise<DeepAgentsFileError | undefined> {
  try {
    await operation();
    return undefined;
  } catch (error) {
    const known = SandboxError.is(error) ? fileErrors[error.code] : undefined;
    if (known === undefined) throw error;
    return known;
  }
}

async function inOrder<T, R>(items: readonly T[], use: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await use(item));
  return results;
}

/** deepagents hands over the bytes of images and the like in base64. */
function fromBase64(content: string, path: string): Uint8Array {
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(content)) {
    throw new SandboxError(
      "invalid-argument",
      `Expected the content of ${JSON.stringify(path)} in base64, since its name says that it is not text. Write such files with a command.`,
      { path },
    );
  }
  return Buffer.from(content, "base64");
}
