import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { CommandIo } from "../../command-io.ts";
import { checkRunner, runnerOf } from "./choose-runner.ts";

/** Ends at the mount, which is looked at last before an engine is needed. */
const check = (env: Record<string, string>): Promise<void> => {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const io: CommandIo = { ...streams, env, cwd: "/", onSignal: () => () => {} };
  return checkRunner(runnerOf({ runner: "docker", runnerMount: ["not-there"] }, "/"), io);
};

test.each([
  [{ SANDBOX_TYPE: "isolated" }, "SANDBOX_TYPE=isolated makes sandboxes of its own"],
  [{ SANDBOX_TYPES: "filesystem,docker" }, "SANDBOX_TYPES=filesystem,docker makes sandboxes of its own"],
  [{}, "--runner-mount /not-there is not a directory"],
  [{ SANDBOX_TYPES: "filesystem" }, "--runner-mount /not-there is not a directory"],
])("a runner in a container makes no sandboxes: %j", async (env, message) => {
  await expect(check(env)).rejects.toThrow(message);
});
