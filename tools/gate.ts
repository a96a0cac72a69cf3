import { execa } from "execa";

/** What a gate saw. `count` is how much it looked at: a gate that looked at too little has failed, whatever it says. */
export interface Evidence {
  readonly count: number;
  /** What was counted, in the plural: "files", "packages", "tests". */
  readonly of: string;
  readonly passed: number;
  readonly failed: number;
  /** What failed, each with the first lines of why. */
  readonly failures?: readonly string[];
}

export interface Gate {
  readonly name: string;
  /** The least that `count` must be. */
  readonly atLeast: number;
  run(): Promise<Evidence>;
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly failures: readonly string[];
}

/** A command that failed its gate; carries all it printed. */
export class GateError extends Error {
  override readonly name = "GateError";
}

/** Runs a tool of the workspace. Throws `GateError` with its whole output, or why it did not start, unless it exits with 0. */
export async function tool(
  command: string,
  args: readonly string[],
  options?: { env?: Record<string, string>; cwd?: string },
): Promise<string> {
  const result = await execa(command, args, {
    all: true,
    reject: false,
    preferLocal: true,
    stdin: "ignore",
    cwd: options?.cwd,
    env: { NO_COLOR: "1", FORCE_COLOR: "0", TURBO_TELEMETRY_DISABLED: "1", ...options?.env },
  });
  if (result.exitCode !== 0) throw new GateError(`${command} ${args.join(" ")}\n${result.all || result.shortMessage}`);
  return result.all;
}

/** The number that `pattern` captures in a tool's output; 0 when it says nothing, which fails any gate. */
export function counted(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1]?.replaceAll(",", "") ?? 0);
}

/** Runs gates one after the other, also after a failure, so that one run shows everything. */
export async function runGates(gates: readonly Gate[]): Promise<Totals> {
  let passed = 0;
  let failed = 0;
  const failures: string[] = [];
  for (const gate of gates) {
    const started = performance.now();
    const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
    try {
      const evidence = await gate.run();
      if (evidence.count < gate.atLeast) {
        throw new GateError(`looked at ${evidence.count} ${evidence.of}, expected at least ${gate.atLeast}`);
      }
      passed += evidence.passed;
      failed += evidence.failed;
      failures.push(...(evidence.failures ?? []));
      const mark = evidence.failed === 0 ? "✓" : "✗";
      console.log(`${mark} ${gate.name} (${evidence.count} ${evidence.of}, ${seconds()})`);
    } catch (error) {
      failed += 1;
      const why = error instanceof Error ? error.message : String(error);
      failures.push(`${gate.name}: ${firstLines(why)}`);
      console.log(`✗ ${gate.name} (${seconds()})\n${why}`);
    }
  }
  return { passed, failed, failures };
}

/** The beginning of a long message, indented under its title. */
export function firstLines(text: string): string {
  return text.split("\n").slice(0, 6).join("\n    ");
}

/** What failed once more, where whoever has only the end of the output sees it; the closing line, which scripts read; the exit code. */
export function conclude({ passed, failed, failures }: Totals): void {
  for (const failure of failures) console.log(`\n✗ failed: ${failure}`);
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}
