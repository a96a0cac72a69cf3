import { CliError } from "../errors.ts";

/** One thing that is wrong with a manifest. */
export interface ManifestProblem {
  /** As the user named it; `<stdin>` for standard input. */
  readonly file: string;
  /** Counted from 1, as is `column`. Absent when the file as a whole is the problem. */
  readonly line?: number;
  readonly column?: number;
  /** The field, as `spec.instructions`; empty for the document as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `agent.yaml:7:3: spec.instructions: must be at least 10 characters`. */
export function describeProblem({ file, line, column, path, message }: ManifestProblem): string {
  const place = line === undefined ? file : `${file}:${line}:${column}`;
  return [place, path, message].filter((part) => part !== "").join(": ");
}

/** All problems at once, one a line, in the order of the files. */
export function refuse(problems: readonly ManifestProblem[]): CliError {
  return new CliError("failed", problems.map(describeProblem).join("\n"));
}
