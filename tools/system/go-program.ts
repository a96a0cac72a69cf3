import { execa } from "execa";
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { GateError } from "../gate.ts";
import type { Requirement } from "./requirement.ts";

export interface GoProgram {
  /** The variable that suites read. */
  readonly variable: string;
  /** The package of its main function; the last part of it is the program's name. */
  readonly package: string;
  readonly version: string;
  /** What people call it. */
  readonly title: string;
}

/** A program that Go builds from its module. Built once, outside the checkout. */
export function goProgram(wanted: GoProgram): Requirement {
  return {
    variable: wanted.variable,
    async provide(signal) {
      const tools = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "stigmer", "tools");
      const name = basename(wanted.package);
      const folder = join(tools, `${name}-${wanted.version}`);
      const program = join(folder, name);
      if (!(await works(program))) await build({ wanted, tools, folder, program, signal });
      return { value: program, release: async () => {} };
    },
  };
}

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
  readonly wanted: GoProgram;
  readonly tools: string;
  readonly folder: string;
  readonly program: string;
  readonly signal: AbortSignal;
}

/** Built aside and moved into place: whoever runs beside us finds the whole program or none. */
async function build({ wanted, tools, folder, program, signal }: Build): Promise<void> {
  const { title } = wanted;
  const module = `${wanted.package}@v${wanted.version}`;
  await mkdir(tools, { recursive: true });
  const aside = await mkdtemp(join(tools, "build-"));
  console.log(`Building ${title} into ${folder}, once; this takes some minutes …`);
  try {
    const result = await execa("go", ["install", module], {
      all: true,
      reject: false,
      stdin: "ignore",
      cancelSignal: signal,
      // The module may ask for a newer Go than the one installed; it fetches that itself.
      env: { GOBIN: aside, GOTOOLCHAIN: process.env["GOTOOLCHAIN"] ?? "auto", GOFLAGS: "" },
    });
    if (result.code === "ENOENT") {
      throw new GateError(`go is not installed. Go builds ${title}: apt-get install golang-go`);
    }
    if (result.failed) throw new GateError(`${title} can't be built: go install ${module}\n${result.all}`);
    await mkdir(folder, { recursive: true });
    await rename(join(aside, basename(program)), program);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
