import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { BaseSequencer, type TestSpecification, type Vitest } from "vitest/node";

/** What takes longest of each tier, and is not long by its own lines: most of these call a suite that stands elsewhere. */
const LONG = [
  // System.
  "e2e/images/images.system.test.ts",
  "packages/server/src/services/services.postgres.system.test.ts",
  "e2e/chaos.system.test.ts",
  "e2e/publishing.system.test.ts",
  "packages/server/src/organizations.fuzz.system.test.ts",
  "e2e/cloud/restore.system.test.ts",
  "e2e/cloud/rolling-upgrade.system.test.ts",
  "e2e/cloud/metrics.system.test.ts",
  "e2e/guides.system.test.ts",
  "packages/engine/src/temporal/engine-conformance.system.test.ts",
  "e2e/cloud/storm.system.test.ts",
  "packages/agent/src/ledger/kill-sweep.system.test.ts",
  "packages/server/src/start-server.kills.system.test.ts",
  "packages/server/src/organizations.fuzz-fails.system.test.ts",
  "apps/agent-runner/src/sessions.system.test.ts",
  "apps/agent-runner/src/approvals.system.test.ts",
  "apps/agent-runner/src/orders.system.test.ts",
  // Of those that need only Node.
  "bench/budget/budget.test.ts",
  "tools/readme-examples.test.ts",
  "apps/agent-runner/src/sessions.test.ts",
  "apps/agent-runner/src/orders.test.ts",
  "apps/agent-runner/src/approvals.test.ts",
  "packages/server/src/store/sqlite/sqlite.test.ts",
];

/**
 * Begins with what takes longest, so that no worker is left alone with it at the end. Vitest goes by the last run, which a clean
 * checkout does not have, and then by the size of the files: a line that calls a suite of minutes comes last.
 */
export class LongFirst extends BaseSequencer {
  readonly #ranks: ReadonlyMap<string, number>;

  constructor(context: Vitest) {
    super(context);
    this.#ranks = new Map(LONG.map((file, rank) => [file, rank]));
  }

  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const { root } = this.ctx.config;
    const gone = LONG.filter((file) => !existsSync(join(root, file)));
    if (gone.length > 0) throw new Error(`tools/long-first.ts names what is not there: ${gone.join(", ")}`);
    const rank = ({ moduleId }: TestSpecification): number => this.#ranks.get(relative(root, moduleId)) ?? LONG.length;
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}
