// The backend in the guide, as it stands there, is held to the whole suite.
import { mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, describe, expect, it, test } from "vitest";
import { filesystemCapabilities } from "../filesystem/capabilities.ts";
import type { Sandbox, SandboxConfig } from "../index.ts";

interface Guide {
  createRecordingSandbox(options: {
    readonly inner: SandboxConfig;
    readonly record: string;
    readonly id?: string;
  }): Promise<Sandbox>;
}

const guide = new URL("../../../../docs/guides/write-a-sandbox-backend.md", import.meta.url);
const directory = await realpath(await mkdtemp(join(tmpdir(), "guide-")));
const program = join(import.meta.dirname, `.guide-example-${process.pid}.ts`);
const record = join(directory, "record");
await writeFile(program, /^```ts\n(?<code>.*?)^```$/ms.exec(await readFile(guide, "utf8"))?.groups?.["code"] ?? "");
const { createRecordingSandbox } = (await import(program)) as Guide;
await rm(program);

afterAll(() => rm(directory, { recursive: true }));

let made = 0;
const newDirectory = (): string => join(directory, `root-${made++}`);

describeSandboxConformance(
  {
    name: "the guide's backend",
    capabilities: filesystemCapabilities(),
    // Other suites share the machine.
    slackMs: 3000,
    create: ({ id, network, limits }) => {
      const rootDir = id?.slice("recording:filesystem:".length) ?? newDirectory();
      return createRecordingSandbox({ inner: { type: "filesystem", rootDir, network, limits }, record, id });
    },
  },
  { describe, it },
);

test("keeps the record that the guide says", async () => {
  const sandbox = await createRecordingSandbox({ inner: { type: "filesystem", rootDir: newDirectory() }, record });
  await sandbox.execute("exit 7");
  await sandbox.dispose();
  expect((await readFile(record, "utf8")).trim().split("\n").at(-1)).toContain('"command":"exit 7","exitCode":7}');
});
