export { checkIsolatedBackend, createIsolatedSandbox } from "./create.ts";
export type { IsolatedSandboxOptions } from "./create.ts";
