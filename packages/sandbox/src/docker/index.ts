export { checkDockerBackend, createDockerSandbox, removeDockerSandbox, removeDockerSandboxesOf } from "./create.ts";
export type { DockerSandboxOptions, PullPolicy } from "./create.ts";
