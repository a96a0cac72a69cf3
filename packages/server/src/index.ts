// To run a server in this process.
export { startServer, type RunningServer, type StartServerOptions } from "./start-server.ts";
export type { EmbeddedEngineChoice, EngineChoice, ServerMetrics, TemporalEngineChoice } from "./open-engine.ts";
export type { PostgresStoreChoice, SqliteStoreChoice, StoreChoice } from "./open-store.ts";
export type {
  FanoutChoice,
  InProcessFanoutChoice,
  PollingFanoutChoice,
  RedisFanoutChoice,
} from "./fanout/open-fanout.ts";
export type { Authenticator, Principal } from "./interceptors/principal.ts";
export type { TlsFiles } from "./http/certificate.ts";
export type { OidcOptions } from "./auth/oidc.ts";
export type { PrincipalRole } from "./interceptors/role.ts";
export type { OrganizationLimits } from "./limits/organization-limits.ts";
export { ServerError, type ServerErrorCode } from "./errors.ts";
export type { Logger } from "./logger.ts";

// To let the first callers in.
export {
  type ApiKeyPlace,
  createApiKey,
  type CreateApiKeyOptions,
  deleteApiKey,
  listApiKeys,
  type MadeApiKey,
} from "./installation-keys.ts";

// To keep what a server has.
export { createBackup, type CreateBackupOptions, type CreatedBackup } from "./backup/create-backup.ts";
export { restoreBackup, type RestoreBackupOptions, type RestoredBackup } from "./backup/restore-backup.ts";
export { endOpenRuns, type EndOpenRunsOptions } from "./end-open-runs.ts";
export { BackupError, type BackupErrorCode } from "./backup/errors.ts";
