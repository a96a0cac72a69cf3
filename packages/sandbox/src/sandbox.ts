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
  /**
   * Starts a shell command in the background: a server, a watcher, a long build. It has no time-out unless given one,
   * outlives the call that started it, and dies with the sandbox. A command that can't be started is a process that has
   * ended, with the reason in its result. Throws `SandboxError` for misuse, as `execute` does, and `unsupported` where
   * `capabilities.backgroundProcesses` is false.
   */
  spawn(command: string, options?: SpawnOptions): Promise<SandboxProcess>;
  /**
   * What was started in the background, oldest first: by `spawn`, and by `execute` as a child that outlived its shell
   * (`server &`). Those that ended stay listed, the last 100 of them.
   */
  processes(): Promise<readonly SandboxProcess[]>;
  /** One of `processes()`, or undefined when there is none of this id. */
  process(id: string): Promise<SandboxProcess | undefined>;
  /**
   * Ends everything that runs in it, and this way to it. Its files stay, and so does what the backend holds for it: its id
   * opens it again. Safe to call twice.
   */
  dispose(options?: DisposeOptions): Promise<void>;
}

export interface DisposeOptions {
  /**
   * Also deletes what the backend itself made for it, such as a container or a remote disk: the id opens nothing any more.
   * Never deletes a directory that the caller named. Default false.
   */
  readonly remove?: boolean;
}

/** What every backend's options share. What a backend can't keep is refused as `unsupported`, never passed over. */
export interface CommonSandboxOptions {
  /** Opens the sandbox of this id again. Throws `sandbox-gone` when there is none. Default: a new one. */
  readonly id?: string;
  /**
   * Names who a new sandbox belongs to, where several processes share a backend. It is opened again, and removed, under this name
   * alone: for any other there is none. Whoever opens a `docker` sandbox ends what runs in it, and takes it from whoever
   * had it open before. Default: nobody looks.
   */
  readonly owner?: string;
  /** The environment that the agent is declared to have. Wins over what the backend starts from. */
  readonly env?: Readonly<Record<string, string>>;
  /** What commands may reach. Default: the first of `capabilities.network`. */
  readonly network?: NetworkPolicy;
  /** Default: none. */
  readonly limits?: SandboxLimits;
}

/** What commands may reach: anything, nothing but what runs in the sandbox itself, or these domains over HTTP(S). */
export type NetworkPolicy =
  | { readonly type: "full" }
  | { readonly type: "off" }
  | {
      readonly type: "allow-list";
      /** `example.com` is that name alone, `*.example.com` every name below it. */
      readonly domains: readonly string[];
    };

/** What the commands of a sandbox may use. Whole numbers above 0. */
export interface SandboxLimits {
  /** Seconds of processor time of one process, after which it is killed. */
  readonly cpuSeconds?: number;
  /** Memory of all that runs in the sandbox where the backend has control groups, else of each process. */
  readonly memoryBytes?: number;
  /** Processes and threads of the whole sandbox at once. */
  readonly processes?: number;
  /** What the files in the sandbox may take. */
  readonly diskBytes?: number;
}

/** Those of this package, and the name of one of your own. */
export type SandboxBackend = "filesystem" | "isolated" | "docker" | "daytona" | (string & {});

/** What a backend can promise, declared up front so that a caller never has to find out by failing. */
export interface SandboxCapabilities {
  /** Commands can't reach what lies outside the sandbox. */
  readonly isolation: boolean;
  /** stdout and stderr come back apart. Where not, all output is in `stdout`. */
  readonly separateStderr: boolean;
  /** Even descendants that left the process group (`setsid`, double fork) are gone after a time-out. */
  readonly tracksEscapes: boolean;
  /** `spawn`, `processes` and `process` work. */
  readonly backgroundProcesses: boolean;
  /** Can start from a prepared snapshot or image. */
  readonly snapshot: boolean;
  /** The policies that it keeps, its default first. */
  readonly network: readonly NetworkPolicy["type"][];
  /** The limits that it keeps. */
  readonly limits: readonly (keyof SandboxLimits)[];
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

export interface SpawnOptions extends Pick<ExecuteOptions, "cwd" | "env" | "onStdout" | "onStderr"> {
  /** Milliseconds until the whole process tree is killed, with `exitCode` 124. Default: no limit. */
  readonly timeoutMs?: number;
  /** Bytes of stdout and of stderr that are kept, each: the last ones. Default 1 MiB. */
  readonly maxOutputBytes?: number;
}

/** Something that runs in the background of a sandbox. */
export interface SandboxProcess {
  /** Names it within its sandbox. */
  readonly id: string;
  readonly command: string;
  readonly startedAt: Date;
  /** Whether it was spawned, or left running by a command that `execute` ran. The latter takes no input. */
  readonly origin: "spawn" | "execute";
  /** Whether anything of it still ran when last seen. Settled for sure once `wait` resolved. */
  readonly running: boolean;
  /** The end of what it printed so far. Of one that `execute` left running: since its shell exited. */
  output(): Promise<ProcessOutput>;
  /**
   * What it prints from now on, piece by piece, until it has ended. Never in the middle of a UTF-8 character. Who reads too
   * slowly loses the oldest pieces, above 1 MiB unread, and is told so in the next.
   */
  follow(): AsyncIterable<OutputPiece>;
  /** Resolves when the input is handed over. Throws `process-ended` when it no longer takes any. */
  write(input: string | Uint8Array): Promise<void>;
  /** Ends its input. No error when that is ended already. */
  closeStdin(): Promise<void>;
  /**
   * `SIGKILL`, the default, ends the whole process tree, and resolves when it is gone. Any other signal is sent to the
   * process group, as a terminal would. No error when it has ended already.
   */
  kill(signal?: ProcessSignal): Promise<void>;
  /** Resolves when its shell has exited, or, for one left by `execute`, when all of it is gone. */
  wait(): Promise<ExecuteResult>;
  /** As above, or undefined when the time is up or the signal comes first: the process goes on then. */
  wait(options: WaitOptions): Promise<ExecuteResult | undefined>;
}

export type ProcessSignal =
  | "SIGHUP"
  | "SIGINT"
  | "SIGQUIT"
  | "SIGKILL"
  | "SIGUSR1"
  | "SIGUSR2"
  | "SIGTERM"
  | "SIGCONT"
  | "SIGSTOP"
  | "SIGWINCH";

export interface ProcessOutput {
  readonly stdout: string;
  readonly stderr: string;
  /** There was more than `maxOutputBytes`; the end is kept. */
  readonly truncated: boolean;
}

export interface OutputPiece {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** UTF-16 units that were lost right before this piece, since they were read too slowly. Mostly 0. */
  readonly skipped: number;
}

export interface WaitOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
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
   * Everything whose path under `cwd` matches, directories only when asked for, sorted by path. Hidden files match only where the pattern
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
  /** Whether directories that match are told too. Default false. */
  readonly directories?: boolean;
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
