import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa, type Result } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The gates of the contract: its style, its promise to existing clients, and that the committed code is generated from it.
// Needs Go and a module proxy, for validate.proto.

const root = dirname(import.meta.dirname);
let scratch: string;
let checked: Result;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "stigmer-proto-test-"));
  // First, because it fetches validate.proto, which every other command here needs.
  checked = await check(root);
}, 120_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function buf(...args: string[]): Promise<Result> {
  return execa("buf", args, { cwd: root, preferLocal: true, localDir: root, reject: false, all: true });
}

function check(repository: string): Promise<Result> {
  const generator = join(repository, "tools/generate-protos.ts");
  return execa(process.execPath, [generator, "--check"], { cwd: repository, reject: false, all: true });
}

/** A copy of the contract in which one text is another: the change that a gate must see. */
function plant(name: string, file: string, from: string, to: string): string {
  const copy = join(scratch, name);
  cpSync(join(root, "proto"), copy, { recursive: true });
  const path = join(copy, "ai/stigmer", file);
  const text = readFileSync(path, "utf8");
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
  return copy;
}

async function breaking(contract: string): Promise<Result> {
  const image = join(scratch, "contract.binpb");
  const built = await buf("build", contract, "--path", join(contract, "ai"), "--output", image);
  expect(built.all).toBe("");
  const against = ["--against", "proto/contract.binpb", "--config", "proto/buf.yaml", "--exclude-imports"];
  return buf("breaking", image, ...against);
}

describe("style", () => {
  test("the contract passes", async () => {
    const { exitCode, all } = await buf("lint", "proto");
    expect({ exitCode, all }).toEqual({ exitCode: 0, all: "" });
  });

  test("the contract is formatted", async () => {
    const { exitCode, all } = await buf("format", "proto", "--diff", "--exit-code");
    expect({ exitCode, all }).toEqual({ exitCode: 0, all: "" });
  });

  test("a field that does not say what it is for is refused", async () => {
    const planted = plant("uncommented", "commons/rpc/pagination.proto", "  // Which page, counted from 0.\n", "");
    const { exitCode, all } = await buf("lint", planted);
    expect(exitCode).toBe(100);
    expect(all).toContain('Field "num" should have a non-empty comment');
  });
});

describe("promise to existing clients", () => {
  test("the contract keeps it", async () => {
    const { exitCode, all } = await breaking(join(root, "proto"));
    expect({ exitCode, all }).toEqual({ exitCode: 0, all: "" });
  });

  test.each([
    ["a renumbered field", "agentic/agentexecution/v1/api.proto", "string error = 6;", "string error = 66;"],
    ["a renamed method", "agentic/agent/v1/query.proto", "rpc getByReference(", "rpc findByReference("],
    ["a changed type", "agentic/runner/v1/lease.proto", "int32 attempt = 3;", "string attempt = 3;"],
    ["a lost enum value", "agentic/agentexecution/v1/enum.proto", "  EXECUTION_PAUSED = 7;\n", ""],
  ])("%s is refused", async (name, file, from, to) => {
    const { exitCode, all } = await breaking(plant(name.replaceAll(" ", "-"), file, from, to));
    expect(exitCode).toBe(100);
    expect(all).toContain(`ai/stigmer/${file}`);
  });

  test("an addition is not refused", async () => {
    const added = "// How many more.\n  int32 more = 1000;\n}";
    const planted = plant("addition", "commons/rpc/pagination.proto", "}", added);
    expect((await breaking(planted)).exitCode).toBe(0);
  });
});

describe("generated code", () => {
  /** A copy of what the generator reads and compares. */
  function copyRepository(name: string): string {
    const copy = join(scratch, name);
    for (const path of ["proto", "tools/generate-protos.ts", "packages/protos/src/gen"]) {
      cpSync(join(root, path), join(copy, path), { recursive: true });
    }
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    return copy;
  }

  test("is that of the contract, and the contract is recorded", () => {
    expect({ exitCode: checked.exitCode, all: checked.all }).toEqual({
      exitCode: 0,
      all: expect.stringMatching(/^The generated code is current \(\d{3} files\), and the contract is recorded\.$/),
    });
  });

  test("that was edited by hand is refused", async () => {
    const copy = copyRepository("edited");
    appendFileSync(join(copy, "packages/protos/src/gen/ai/stigmer/commons/rpc/pagination_pb.js"), "// edited\n");
    const { exitCode, all } = await check(copy);
    expect(exitCode).toBe(1);
    expect(all).toBe(
      "The generated code is not that of proto/: run `pnpm generate` and commit.\n  ai/stigmer/commons/rpc/pagination_pb.js\n",
    );
  });

  test("of a contract that is not recorded is refused", async () => {
    const copy = copyRepository("unrecorded");
    rmSync(join(copy, "proto/contract.binpb"));
    const { exitCode, all } = await check(copy);
    expect(exitCode).toBe(1);
    expect(all).toContain("run `pnpm generate --record` and commit");
  });
});
