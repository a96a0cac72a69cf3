import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { confirm } from "./confirm.ts";

function terminal(): { io: CommandIo; stdin: PassThrough; shown: () => string } {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stdin });
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
  let shown = "";
  stderr.on("data", (chunk) => (shown += String(chunk)));
  const io: CommandIo = { stdin, stdout: new PassThrough(), stderr, env: {}, cwd: "/", onSignal: () => () => {} };
  return { io, stdin, shown: () => shown };
}

test("a yes goes on; a no, Enter alone and Ctrl-C change nothing", async () => {
  for (const [keys, expected] of [
    ["y", "yes"],
    ["n", 1],
    ["\r", 1],
    ["\u0003", 130],
  ] as const) {
    const { io, stdin, shown } = terminal();
    const asked = confirm("Delete Agent x?", "say --yes", io).then(
      () => "yes",
      (error: unknown) => CliError.is(error) && error.exitCode,
    );
    await expect.poll(shown).toContain("Delete Agent x?");
    stdin.write(keys);
    expect(await asked, JSON.stringify(keys)).toBe(expected);
  }
});

test("without a terminal nobody is asked", async () => {
  const { io } = terminal();
  const script = { ...io, stdin: new PassThrough() };
  await expect(confirm("Delete Agent x?", "say --yes to do so", script)).rejects.toThrow("say --yes to do so");
});
