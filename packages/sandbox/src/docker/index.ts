export { createDockerSandbox } from "./create.ts";
export type { DockerSandboxOptions, PullPolicy } from "./create.ts";
