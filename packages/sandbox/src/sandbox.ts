// The port: what every sandbox can do. Knows no driver.

/** One place where an agent's commands run and its files live. Made by `createSandbox`. */
export interface Sandbox {
  /** Identifies the sandbox to its backend, stable over reconnects: store it to come back to the same one. */
  readonly id: string;
  readonly backend: SandboxBackend;
  readonly capabilities: SandboxCapabilities;
  /** The sandbox root as a command run in it sees it (`pwd`), absolute. */
  readonly root: string;
  readonly files: SandboxFiles;
  /**
   * Runs a shell command and waits for the shell to exit. What the command does is never thrown: failure to start, a
   * non-zero exit, a signal and a time-out are results. Throws `SandboxError` only for misuse (after `dispose`, bad options).
   */
  execute(command: string, options?: ExecuteOptions): Promise<ExecuteResult>;
  /** Ends everything that runs in it. Deletes only what the sandbox itself created. Safe to call twice. */
  dispose(): Promise<void>;
}

export type SandboxBackend = "filesystem" | "isolated" | "docker" | "daytona";

/** What a backend can promise, declared up front so that a caller never has to find out by failing. */
export interface SandboxCapabilities {
  /** Commands can't reach what lies outside the sandbox. */
  readonly isolation: boolean;
  /** stdout and stderr come back apart. Where not, all output is in `stdout`. */
  readonly separateStderr: boolean;
  /** Even descendants that left the process group (`setsid`, double fork) are gone after a time-out. */
  readonly tracksEscapes: boolean;
}

export interface ExecuteOptions {
  /** Milliseconds until the whole process tree is killed and the result has `exitCode` 124. Default 120,000. */
  readonly timeoutMs?: number;
  /** Where to run, relative to the root. Default: the root. */
  readonly cwd?: string;
  /** Added to the sandbox's own environment, for this command alone. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the command's standard input, which is then closed. Default: closed at once. */
  readonly stdin?: string | Uint8Array;
  /** Aborting kills the whole process tree; the result has `reason: "aborted"`. */
  readonly signal?: AbortSignal;
  /** Called with each decoded piece of output as it comes. Never in the middle of a UTF-8 character. */
  readonly onStdout?: (text: string) => void;
  readonly onStderr?: (text: string) => void;
  /** Bytes of stdout and of stderr that are kept, each; the rest is counted as `truncated`. Default 1 MiB. */
  readonly maxOutputBytes?: number;
}

/** Why a command did not simply exit by itself. The same words for all backends. */
export type FailureReason =
  | "timeout"
  | "aborted"
  | "killed"
  | "out-of-memory"
  | "output-limit"
  | "not-found"
  | "permission"
  | "sandbox-gone"
  | "backend-error";

export interface ExecuteResult {
  /** 0 to 255. 124 after a time-out, 127 when not found, 128 + n when signal n ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Output was longer than `maxOutputBytes`; the beginning and the end are kept. */
  readonly truncated: boolean;
  readonly durationMs: number;
  /** Absent when the command exited by itself, whatever its exit code (other than 126 and 127 from the shell). */
  readonly reason?: FailureReason;
}

/** Paths are relative to the root, or absolute and under it; any other absolute path `/x` means `<root>/x`. No path leaves the root. */
export interface SandboxFiles {
  /** Throws `SandboxError` `not-found`, `is-directory`, `outside-root`, `permission` or `too-large`. */
  read(path: string, options?: ReadOptions): Promise<Uint8Array>;
  /** As `read`, decoded as UTF-8; throws `not-text` when it isn't. */
  readText(path: string, options?: ReadOptions): Promise<string>;
  /** Creates or replaces the file atomically, with its parent directories. `mode` is kept from a replaced file unless given. */
  write(path: string, content: string | Uint8Array, options?: WriteOptions): Promise<void>;
  /** Replaces `oldText` by `newText`. Throws `no-match`, and `ambiguous-match` when it occurs more than once and `replaceAll` is unset. */
  edit(path: string, oldText: string, newText: string, options?: EditOptions): Promise<EditResult>;
  /** The direct entries of a directory, sorted by name. */
  list(path?: string): Promise<FileEntry[]>;
  /**
   * Everything but directories whose path under `cwd` matches, sorted by path. Hidden files match only where the pattern
   * names the dot. Patterns know `*`, `?`, `**`, `[a-z]`, `[!a]`, `{a,b}` and a backslash before what is meant literally.
   * Symbolic links are listed, not followed; directories that may not be read are passed over.
   */
  glob(pattern: string, options?: GlobOptions): Promise<FileEntry[]>;
  /** Lines that contain `text` literally, hidden files included. Binary files and symbolic links are passed over. */
  grep(text: string, options?: GrepOptions): Promise<GrepResult>;
  exists(path: string): Promise<boolean>;
  /** Removes a file or a whole directory; a path that is not there is no error. Throws `outside-root` for the root itself. */
  remove(path: string): Promise<void>;
  /** Many files at once, which remote backends send as one batch. Stops at the first that fails. */
  upload(files: readonly UploadFile[]): Promise<void>;
  /** Many files at once, in the order asked. Throws as `read` does. */
  download(paths: readonly string[]): Promise<Uint8Array[]>;
  /** The path as a command in the sandbox would write it: absolute, under `root`, normalised. Throws `outside-root`. */
  resolve(path: string): string;
}

export interface ReadOptions {
  /** A longer file throws `too-large` and is not brought into memory. Default 256 MiB. */
  readonly maxBytes?: number;
}

export interface WriteOptions {
  /** Permission bits, for example `0o755` for a script. Default: those of the file replaced, else 0644 less the umask. */
  readonly mode?: number;
}

export interface EditOptions {
  readonly replaceAll?: boolean;
}

export interface EditResult {
  readonly occurrences: number;
}

export interface GlobOptions {
  /** The directory that the pattern is relative to. Default: the root. */
  readonly cwd?: string;
  /** Default 10,000. */
  readonly maxResults?: number;
}

export interface GrepOptions {
  /** A file, or a directory that is searched through. Default: the root. */
  readonly path?: string;
  /** Only files whose path under `path` matches this glob. A pattern without `/` matches the file's name in any directory. */
  readonly glob?: string;
  /** Default 10,000. */
  readonly maxMatches?: number;
}

export interface GrepResult {
  readonly matches: readonly GrepMatch[];
  /** There were more than `maxMatches`. */
  readonly truncated: boolean;
}

export interface GrepMatch {
  /** Relative to the root. */
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  /** The line without its end; a longer one is cut to 2,000 characters around the match. */
  readonly text: string;
}

export interface FileEntry {
  /** Relative to the root, with `/` between the parts. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "other";
  /** Bytes; 0 for what is not a file. */
  readonly size: number;
  readonly modifiedAt: Date;
}

export interface UploadFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode?: number;
}
