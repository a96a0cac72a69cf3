export { checkDockerBackend, createDockerSandbox, removeDockerSandbox } from "./create.ts";
export type { DockerSandboxOptions, PullPolicy } from "./create.ts";
