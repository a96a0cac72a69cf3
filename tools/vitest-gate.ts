import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { GateError, type Evidence } from "./gate.ts";

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numFailedTestSuites: number;
  readonly numPendingTests: number;
  readonly testResults: readonly { readonly status: string }[];
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
      ["run", ...args, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
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
    return { count: counts.numPassedTests, of: "tests", passed: counts.numPassedTests, failed };
  } catch (error) {
    throw new GateError(`vitest ${args.join(" ")}: ${(error as Error).message}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function chownForUser(folder: string, uid: number, gid: number): Promise<void> {
  const { chown } = await import("node:fs/promises");
  await chown(folder, uid, gid);
}
