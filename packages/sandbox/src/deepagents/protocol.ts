// The part of deepagents' SandboxBackendProtocolV2 that the adapter implements, described by its shape so that deepagents
// is no dependency. A test holds it against the real types.

/** What `createDeepAgent({ backend })` takes. */
export interface DeepAgentsBackend {
  readonly id: string;
  execute(command: string): Promise<DeepAgentsExecuteResponse>;
  ls(path: string): Promise<DeepAgentsFailure | { readonly error?: undefined; readonly files: DeepAgentsFileInfo[] }>;
  /** `offset` counts lines from 0. */
  read(path: string, offset?: number, limit?: number): Promise<DeepAgentsFailure | DeepAgentsRead>;
  readRaw(path: string): Promise<DeepAgentsFailure | { readonly error?: undefined; readonly data: DeepAgentsFileData }>;
  write(path: string, content: string): Promise<DeepAgentsFailure | DeepAgentsChange>;
  edit(
    path: string,
    oldText: string,
    newText: string,
    replaceAll?: boolean,
  ): Promise<DeepAgentsFailure | (DeepAgentsChange & { readonly occurrences: number })>;
  delete(path: string): Promise<DeepAgentsFailure | { readonly error?: undefined; path: string; filesUpdate: null }>;
  grep(
    text: string,
    path?: string | null,
    glob?: string | null,
    maxCount?: number | null,
  ): Promise<
    | DeepAgentsFailure
    | { readonly error?: undefined; readonly matches: DeepAgentsGrepMatch[]; readonly truncated: boolean }
  >;
  glob(
    pattern: string,
    path?: string,
  ): Promise<
    | DeepAgentsFailure
    | { readonly error?: undefined; readonly files: DeepAgentsFileInfo[]; readonly truncated: boolean }
  >;
  uploadFiles(
    files: [path: string, content: Uint8Array][],
  ): Promise<{ path: string; error: DeepAgentsFileError | null }[]>;
  downloadFiles(
    paths: string[],
  ): Promise<{ path: string; content: Uint8Array | null; error: DeepAgentsFileError | null }[]>;
}

export interface DeepAgentsFailure {
  error: string;
}

export interface DeepAgentsExecuteResponse {
  readonly output: string;
  readonly exitCode: number;
  readonly truncated: boolean;
}

/** Absolute paths; that of a directory ends with `/`. */
export interface DeepAgentsFileInfo {
  path: string;
  is_dir: boolean;
  size: number;
  modified_at: string;
}

/** The line numbers are absent for what isn't text, and `nextOffset` at the end of the file. */
export interface DeepAgentsRead {
  readonly error?: undefined;
  readonly content: string | Uint8Array;
  readonly mimeType: string;
  readonly totalLines?: number;
  readonly startLine?: number;
  readonly endLine?: number;
  readonly nextOffset?: number;
}

export interface DeepAgentsFileData {
  content: string | Uint8Array;
  mimeType: string;
  created_at: string;
  modified_at: string;
}

export interface DeepAgentsChange {
  readonly error?: undefined;
  readonly path: string;
  readonly filesUpdate: null;
}

export interface DeepAgentsGrepMatch {
  path: string;
  line: number;
  text: string;
}

export type DeepAgentsFileError = "file_not_found" | "permission_denied" | "is_directory" | "invalid_path";
