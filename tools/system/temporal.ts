import { execa } from "execa";
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { GateError } from "../gate.ts";
import type { Requirement } from "./requirement.ts";

const VERSION = "1.5.1";
const MODULE = `github.com/temporalio/cli/cmd/temporal@v${VERSION}`;

/** Temporal's command line, whose dev server suites start for themselves. Built once, outside the checkout. */
export const temporal: Requirement = {
  variable: "STIGMER_TEST_TEMPORAL",
  async provide(signal) {
    const tools = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "stigmer", "tools");
    const folder = join(tools, `temporal-${VERSION}`);
    const program = join(folder, "temporal");
    if (!(await works(program))) await build({ tools, folder, program, signal });
    return { value: program, release: async () => {} };
  },
};

async function works(program: string): Promise<boolean> {
  try {
    await access(program);
  } catch {
    return false;
  }
  const result = await execa(program, ["--version"], { reject: false, stdin: "ignore" });
  return result.exitCode === 0;
}

interface Build {
  readonly tools: string;
  readonly folder: string;
  readonly program: string;
  readonly signal: AbortSignal;
}

/** Built aside and moved into place: whoever runs beside us finds the whole program or none. */
async function build({ tools, folder, program, signal }: Build): Promise<void> {
  await mkdir(tools, { recursive: true });
  const aside = await mkdtemp(join(tools, "build-"));
  console.log(`Building Temporal's command line into ${folder}, once; this takes some minutes …`);
  try {
    const result = await execa("go", ["install", MODULE], {
      all: true,
      reject: false,
      stdin: "ignore",
      cancelSignal: signal,
      // The module may ask for a newer Go than the one installed; it fetches that itself.
      env: { GOBIN: aside, GOTOOLCHAIN: process.env["GOTOOLCHAIN"] ?? "auto", GOFLAGS: "" },
    });
    if (result.code === "ENOENT") {
      throw new GateError("go is not installed. Go builds Temporal's command line: apt-get install golang-go");
    }
    if (result.failed)
      throw new GateError(`Temporal's command line can't be built: go install ${MODULE}\n${result.all}`);
    await mkdir(folder, { recursive: true });
    await rename(join(aside, "temporal"), program);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
