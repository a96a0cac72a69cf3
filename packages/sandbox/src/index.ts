// For everyone: make a sandbox, use it, tell what went wrong.
export { checkSandboxBackend, createSandbox, removeSandbox, removeSandboxesOf } from "./create-sandbox.ts";
export type { SandboxBackendConfig, SandboxConfig } from "./create-sandbox.ts";
export { SandboxError } from "./errors.ts";
export type { SandboxErrorCode } from "./errors.ts";

// One sandbox for each of many sessions, across turns and restarts.
export { createSandboxSessions } from "./sandbox-sessions.ts";
export type {
  SandboxHold,
  SandboxHolds,
  SandboxSession,
  SandboxSessions,
  SandboxSessionsOptions,
} from "./sandbox-sessions.ts";

// The port: what a function that works in any sandbox takes, and what a driver implements.
export type {
  CommonSandboxOptions,
  DisposeOptions,
  EditOptions,
  EditResult,
  ExecuteOptions,
  ExecuteResult,
  FailureReason,
  FileEntry,
  GlobOptions,
  GrepMatch,
  GrepOptions,
  GrepResult,
  NetworkPolicy,
  OutputPiece,
  ProcessOutput,
  ProcessSignal,
  ReadOptions,
  Sandbox,
  SandboxBackend,
  SandboxCapabilities,
  SandboxFiles,
  SandboxLimits,
  SandboxProcess,
  SpawnOptions,
  UploadFile,
  WaitOptions,
  WriteOptions,
} from "./sandbox.ts";
