import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { loadFiles } from "../manifests/load-manifests.ts";
import { describeProblem } from "../manifests/problems.ts";
import { checkManifests } from "../manifests/read-manifests.ts";
import { writeLine } from "../output/write.ts";

export interface ValidateOptions {
  /** Files, folders, or `-` for standard input. */
  readonly file: readonly string[];
  readonly output: "text" | "json";
}

/** Holds manifests against the contract's rules, without a server. The exit code is 1 when there is a problem. */
export async function validate({ file: paths, output }: ValidateOptions, io: CommandIo): Promise<number> {
  const { manifests, ignored, problems } = checkManifests(await loadFiles(paths, io));
  if (manifests.length === 0 && problems.length === 0) {
    throw new CliError("failed", `${paths.join(", ")} has no manifest`);
  }
  const valid = manifests.map(({ kind, slug, document }) => {
    const { file, line } = document.problemAt([], "");
    return { kind, name: slug, file, line };
  });
  if (output === "json") {
    writeLine(io.stdout, JSON.stringify({ valid, ignored, problems }, null, 2));
  } else {
    for (const name of ignored) writeLine(io.stderr, `${name} is left out: it has neither apiVersion nor kind`);
    for (const { kind, name, file, line } of valid) writeLine(io.stdout, `${file}:${line}: ${kind} ${name} is valid`);
    for (const problem of problems) writeLine(io.stderr, describeProblem(problem));
  }
  return problems.length > 0 ? 1 : 0;
}
