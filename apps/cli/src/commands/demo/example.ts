import { existsSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../../errors.ts";

/** The files of an example that the demo runs. */
export interface Example {
  /** Manifests, and others that are none. */
  readonly directory: string;
  /** What the agent gets a copy of. */
  readonly project: string;
  /** What the scripted model says. */
  readonly scenario: string;
  readonly message: string;
  /** Written by the agent, in the project's root. */
  readonly report: string;
}

/** Three folders up from src/commands/demo and from dist/commands/demo alike. */
const packageDir = join(import.meta.dirname, "../../..");

/** The example that repairs a project: of the checkout when there is one, else the copy that the package carries. */
export function findExample(from: string = packageDir): Example {
  const directory = [join(from, "../../examples/repo-doctor"), join(from, "examples/repo-doctor")].find((candidate) =>
    existsSync(join(candidate, "agent.yaml")),
  );
  if (directory === undefined) {
    throw new CliError("failed", "The demo's files are missing from this installation: install @stigmer/cli again");
  }
  return {
    directory,
    project: join(directory, "project"),
    scenario: join(directory, "scenario.yaml"),
    message: "Fix the failing test and write a report.",
    report: "REPORT.md",
  };
}
