import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { execa } from "execa";
import { firstLines, GateError, type Evidence } from "./gate.ts";

/** From the checkout that Vitest runs in, which may be a copy of this one. */
const SECOND_TRIES = "./tools/second-tries.ts";

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numFailedTestSuites: number;
  readonly numPendingTests: number;
  readonly testResults: readonly FileReport[];
}

interface FileReport {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages: readonly string[];
  }[];
}

/** Runs Vitest with its own output on the terminal and returns what it counted. A file that can't be loaded counts as a failure. */
export async function vitest(
  args: readonly string[],
  options?: { uid?: number; gid?: number; cwd?: string; env?: Record<string, string>; cancelSignal?: AbortSignal },
): Promise<Evidence> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-test-"));
  try {
    const report = join(folder, "report.json");
    if (options?.uid !== undefined) await chownForUser(folder, options.uid, options.gid ?? options.uid);
    const result = await execa(
      "vitest",
      [
        "run",
        ...args,
        "--reporter=default",
        `--reporter=${SECOND_TRIES}`,
        "--reporter=json",
        `--outputFile.json=${report}`,
      ],
      {
        preferLocal: true,
        reject: false,
        stdin: "ignore",
        stdout: "inherit",
        stderr: "inherit",
        ...options,
      },
    );
    const counts = JSON.parse(await readFile(report, "utf8")) as VitestReport;
    const brokenFiles = counts.testResults.filter((file) => file.status !== "passed").length;
    // Errors outside any test (an unhandled rejection) fail the run without failing a test.
    const failed = Math.max(counts.numFailedTests, brokenFiles, result.exitCode === 0 ? 0 : 1);
    const failures = counts.testResults.flatMap(failuresOf);
    if (failed > 0 && failures.length === 0) failures.push("vitest: an error outside any test, told above");
    return { count: counts.numPassedTests, of: "tests", passed: counts.numPassedTests, failed, failures };
  } catch (error) {
    throw new GateError(`vitest ${args.join(" ")}: ${(error as Error).message}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function failuresOf(file: FileReport): string[] {
  if (file.status === "passed") return [];
  const path = relative(process.cwd(), file.name);
  const tests = file.assertionResults.filter((test) => test.status === "failed");
  if (tests.length === 0) return [`${path}\n    ${firstLines(file.message)}`];
  return tests.map((test) => `${path} > ${test.fullName}\n    ${firstLines(test.failureMessages.join("\n"))}`);
}

async function chownForUser(folder: string, uid: number, gid: number): Promise<void> {
  const { chown } = await import("node:fs/promises");
  await chown(folder, uid, gid);
}
