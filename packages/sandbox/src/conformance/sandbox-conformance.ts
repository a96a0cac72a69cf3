// The suite: every promise of the port, run over whatever `create` makes.
import type { Sandbox, SandboxCapabilities } from "../sandbox.ts";
import type { ConformanceCase, ConformanceWish } from "./conformance-case.ts";
import { escapeCases } from "./escape.ts";
import { executeCases } from "./execute.ts";
import { filesCases } from "./files.ts";
import { hostileCases } from "./hostile.ts";
import { lifecycleCases } from "./lifecycle.ts";
import { processesCases } from "./processes.ts";
import { terminationCases } from "./termination.ts";

const allGroups: Readonly<Record<ConformanceGroup, readonly ConformanceCase[]>> = {
  execute: executeCases,
  termination: terminationCases,
  processes: processesCases,
  files: filesCases,
  escape: escapeCases,
  lifecycle: lifecycleCases,
  hostile: hostileCases,
};

export type ConformanceGroup = "execute" | "termination" | "processes" | "files" | "escape" | "lifecycle" | "hostile";

export interface ConformanceOptions {
  /** What is tested, as it is to be shown. */
  readonly name: string;
  /**
   * Makes a sandbox with an empty root, with the network policy and the limits asked for; with an id, opens the one of this
   * id again, files and all.
   */
  readonly create: (wish: ConformanceWish) => Promise<Sandbox>;
  /** Makes one whose root has room for more than 1 MB and less than 32 MB. Default: what needs it is left out. */
  readonly createOnSmallDisk?: () => Promise<Sandbox>;
  /** What the backend declares. A test compares it, and those that need more are skipped. */
  readonly capabilities: SandboxCapabilities;
  /** Milliseconds added to the deadlines that are promises (a time-out holds within 250 ms). Default 0. */
  readonly slackMs?: number;
  readonly skip?: readonly ConformanceSkip[];
  /** Only these, for what wraps a part of a sandbox. Default: all. */
  readonly groups?: readonly ConformanceGroup[];
}

export interface ConformanceSkip {
  /** The test's name, as in `ConformanceTest.name`. */
  readonly test: string;
  readonly reason: string;
}

export interface ConformanceTest {
  /** `<group>: <promise>`. */
  readonly name: string;
  /** What it may take on a slow machine. */
  readonly timeoutMs: number;
  /** Why it is not to be run. */
  readonly skipped?: string;
  /** Rejects with an `AssertionError` when the promise is broken. Most take a few seconds at most. */
  run(): Promise<void>;
}

/** The `describe` and `it` of Vitest, of `node:test` or alike. */
export interface TestRunner {
  describe(name: string, define: () => void): unknown;
  readonly it: {
    (name: string, run: () => Promise<void>, timeoutMs: number): unknown;
    skip(name: string, run: () => Promise<void>): unknown;
  };
}

const defaultTimeoutMs = 60_000;

/** The tests, for any runner. Throws when `skip` names one that doesn't exist. */
export function sandboxConformance(options: ConformanceOptions): ConformanceTest[] {
  const reasons = new Map(options.skip?.map(({ test, reason }) => [test, reason]));
  const groups = options.groups ?? (Object.keys(allGroups) as ConformanceGroup[]);
  const tests = groups.flatMap((group) =>
    allGroups[group].map((conformanceCase) => {
      const name = `${group}: ${conformanceCase.name}`;
      const { requires } = conformanceCase;
      const unsupported =
        requires !== undefined && !requires.metBy(options.capabilities)
          ? `${requires.name} is not declared`
          : undefined;
      const noDisk =
        conformanceCase.needsFullDisk === true && options.createOnSmallDisk === undefined
          ? "no small disk is given"
          : undefined;
      const skipped = reasons.get(name) ?? unsupported ?? noDisk;
      reasons.delete(name);
      const { timeoutMs = defaultTimeoutMs } = conformanceCase;
      return {
        name,
        timeoutMs,
        ...(skipped !== undefined && { skipped }),
        run: () => runCase(conformanceCase, options),
      };
    }),
  );
  for (const name of reasons.keys()) throw new Error(`There is no conformance test ${JSON.stringify(name)} to skip.`);
  return tests;
}

/** Hands the tests to a runner, and prints those left out: `describeSandboxConformance(options, { describe, it })`. */
export function describeSandboxConformance(options: ConformanceOptions, { describe, it }: TestRunner): void {
  const tests = sandboxConformance(options);
  const left = tests.flatMap(({ name, skipped }) => (skipped === undefined ? [] : [`\n  ${name} (${skipped})`]));
  if (left.length > 0) process.stdout.write(`${options.name} is not asked for:${left.join("")}\n`);
  describe(`${options.name} keeps the promises of a sandbox`, () => {
    for (const { name, skipped, run, timeoutMs } of tests) {
      if (skipped === undefined) it(name, run, timeoutMs);
      else it.skip(`${name} (${skipped})`, run);
    }
  });
}

async function runCase(conformanceCase: ConformanceCase, options: ConformanceOptions): Promise<void> {
  const sandbox = await options.create({});
  const opened = [sandbox];
  const opening = async (making: Promise<Sandbox> | undefined): Promise<Sandbox> => {
    if (making === undefined) throw new Error("No small disk is given.");
    const another = await making;
    opened.push(another);
    return another;
  };
  const create = (wish: ConformanceWish): Promise<Sandbox> => opening(options.create(wish));
  try {
    await conformanceCase.run({
      sandbox,
      declared: options.capabilities,
      slackMs: options.slackMs ?? 0,
      create,
      createOnSmallDisk: () => opening(options.createOnSmallDisk?.()),
      reopen: () => create({ id: sandbox.id }),
    });
  } finally {
    for (const each of opened) await each.dispose();
  }
}
