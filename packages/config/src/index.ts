// The agent-runner's configuration.
export { loadConfig, readConfig } from "./read-config.ts";
export type { CloudConfig, Config, ConfigResult, LocalConfig, LogLevel, ReadConfigOptions } from "./read-config.ts";
export { describeConfig } from "./describe-config.ts";
export { parseSecrets, readSecretsPipe } from "./read-secrets-pipe.ts";
export { loadDotEnv } from "./load-dot-env.ts";
export type { LoadDotEnvOptions } from "./load-dot-env.ts";

// The server's configuration.
export { readServerConfig } from "./server-config.ts";
export type {
  CloudServerConfig,
  OrganizationLimits,
  EncryptionKeySource,
  LocalServerConfig,
  OidcConfig,
  ServerConfig,
  ServerConfigResult,
} from "./server-config.ts";

// The command line's: which server, which home, which file.
export { dummyLocalKey, isLoopback, readBackend } from "./backend.ts";
export type { Backend, BackendResult, ReadLocalKey } from "./backend.ts";
export { resolveHome } from "./home.ts";
export type { Homes } from "./home.ts";
export { parseConfigFile, readConfigFile } from "./config-file.ts";
export type { ConfigFileResult } from "./config-file.ts";
export { configFileSchema } from "./config-schema.ts";
export type { ConfigFile, LlmSection, ModelPrice } from "./config-schema.ts";
export { configSettings, problemOfKey, readSetting, setSetting, unsetSetting } from "./edit-config-file.ts";
export type { ConfigEdit, ConfigSetting } from "./edit-config-file.ts";

// Models.
export { originOfModel, resolveModel } from "./resolve-model.ts";
export type {
  ChooseModelOptions,
  HostedModel,
  ModelOrigin,
  OllamaModel,
  ResolvedModel,
  ResolveModelOptions,
} from "./resolve-model.ts";
export { listOllamaModels, probeOllama } from "./ollama.ts";
export type { ListOllamaModelsOptions } from "./ollama.ts";
export { defaultModels, keyedProviders, modelProviders, parseModelName } from "./model-name.ts";
export type { KeyedProvider, ModelName, ModelProvider } from "./model-name.ts";

// The parts a configuration is made of.
export type { Engine, TemporalEngine } from "./engine.ts";
export { readTraces } from "./observability.ts";
export type { Endpoint, TracesConfig } from "./observability.ts";
export type { RedisConfig } from "./redis.ts";
export type { DatabaseLocation, NetworkPolicy, PostgresLocation } from "./formats.ts";
export type {
  CloudSandboxConfig,
  DaytonaAccess,
  DaytonaSandboxConfig,
  DockerSandboxConfig,
  LocalSandboxConfig,
  SandboxConfig,
  SandboxKeeping,
} from "./sandbox-config.ts";

// The table of variables, and what can be wrong with them.
export type { Environment } from "./environment.ts";
export { secretNames, variables } from "./variables.ts";
export type { Mode, Reader, Rule, Variable, VariableName } from "./variables.ts";
export type { Format } from "./formats.ts";
export { ConfigError } from "./problems.ts";
export type { ConfigProblem } from "./problems.ts";
