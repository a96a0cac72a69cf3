import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SandboxError } from "../errors.ts";
import { findPrograms } from "./programs.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "programs-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function install(...names: string[]): Promise<void> {
  for (const name of names) await writeFile(join(directory, name), "");
  for (const name of names) await chmod(join(directory, name), 0o755);
}

test("finds them in the path", async () => {
  await install("bwrap", "nsenter", "setpriv", "prlimit");
  expect(await findPrograms(`/none:${directory}`)).toMatchObject({ bwrap: join(directory, "bwrap") });
});

test.each([
  [[], "install bubblewrap: apt-get install bubblewrap"],
  [["bwrap"], "install util-linux: apt-get install util-linux"],
])("with %j there it says: %s", async (names, message) => {
  await install(...names);
  const error = await findPrograms(directory).catch((reason: unknown) => reason);
  expect(SandboxError.is(error)).toBe(true);
  expect(error).toMatchObject({ code: "backend-unavailable", message: expect.stringContaining(message) });
});

test("takes no file that may not be executed", async () => {
  await install("nsenter", "setpriv", "prlimit");
  await writeFile(join(directory, "bwrap"), "", { mode: 0o644 });
  await expect(findPrograms(directory)).rejects.toMatchObject({ code: "backend-unavailable" });
});
