export { checkFilesystemBackend, createFilesystemSandbox } from "./create.ts";
export type { FilesystemSandboxOptions } from "./create.ts";
export type { InheritEnv } from "../host-processes/environment.ts";
