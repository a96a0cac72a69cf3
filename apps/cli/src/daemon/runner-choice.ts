import { z } from "zod";

/** Where the daemon's agent-runner runs: as a process beside it, or in a container. */
export type RunnerChoice =
  | { readonly type: "process" }
  | {
      readonly type: "docker";
      readonly image: string;
      /** Folders of this machine, besides Stigmer's own workspaces, that runs may work in. Absolute. */
      readonly mounts: readonly string[];
    };

export const runnerChoice: z.ZodType<RunnerChoice> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("process") }),
  z.object({ type: z.literal("docker"), image: z.string(), mounts: z.array(z.string()) }),
]);

/** The name of the container: one on a machine. */
export const RUNNER_CONTAINER = "stigmer-agent-runner";

/** The label that says whose container it is: the home of its daemon. */
export const HOME_LABEL = "ai.stigmer.runner-home";

/** As `stigmer internal supervise` is told it. */
export function runnerArguments(choice: RunnerChoice): string[] {
  if (choice.type === "process") return [];
  const { image, mounts } = choice;
  return ["--runner", "docker", "--runner-image", image, ...mounts.flatMap((folder) => ["--runner-mount", folder])];
}
