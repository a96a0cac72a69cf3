// A process that shows that it lives by making a file grow, since process numbers mean nothing across namespaces.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Sandbox } from "../sandbox.ts";
import { eventually } from "./conformance-case.ts";

/** A shell command that beats for ever. Without single quotes, so that `sh -c '…'` takes it. */
export const beats = (file: string): string => `while :; do echo . >> ${file}; sleep 0.05; done`;

/** Shell code that goes on once the process beats. */
export const untilBeating = (file: string): string => `until [ -s ${file} ]; do sleep 0.02; done`;

/** A shell function: starts its arguments in a session of their own. macOS has no setsid(1), but perl. */
export const newSession = `new_session() {
  if command -v setsid >/dev/null 2>&1; then setsid "$@"
  else perl -MPOSIX -e 'fork and wait, exit; POSIX::setsid(); exec @ARGV' "$@"; fi
}`;

const size = async (sandbox: Sandbox, file: string): Promise<number> => (await sandbox.files.read(file)).length;

/** Six beats long nothing happened. */
export async function assertStill(sandbox: Sandbox, file: string): Promise<void> {
  const before = await size(sandbox, file);
  assert.ok(before > 0, "The process never ran.");
  await delay(300);
  assert.equal(await size(sandbox, file), before, "The process still runs.");
}

export async function assertBeating(sandbox: Sandbox, file: string): Promise<void> {
  const before = await size(sandbox, file);
  await eventually("the process beats", async () => (await size(sandbox, file)) > before);
}
