export { toDeepAgentsBackend } from "./backend.ts";
export type { DeepAgentsBackendOptions } from "./backend.ts";
export { formatExecuteResult } from "./format-execute-result.ts";
export type {
  DeepAgentsBackend,
  DeepAgentsChange,
  DeepAgentsExecuteResponse,
  DeepAgentsFailure,
  DeepAgentsFileData,
  DeepAgentsFileError,
  DeepAgentsFileInfo,
  DeepAgentsGrepMatch,
  DeepAgentsRead,
} from "./protocol.ts";
