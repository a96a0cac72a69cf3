import { relative } from "node:path";
import type { Reporter, TestCase } from "vitest/node";

/**
 * A Vitest reporter that says which tests passed only when they were tried again. That happens on CI alone, where a neighbour on
 * the machine can take the processor for seconds: such a test stops nobody, and is not hidden either.
 */
export default class SecondTries implements Reporter {
  readonly #lines: string[] = [];

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky !== true) return;
    const [error] = test.result().errors ?? [];
    const why = error?.message.split("\n")[0] ?? "";
    this.#lines.push(`~ second try: ${relative(process.cwd(), test.module.moduleId)} > ${test.fullName}: ${why}`);
  }

  onTestRunEnd(): void {
    if (this.#lines.length > 0) process.stdout.write(`\n${this.#lines.join("\n")}\n`);
  }
}
