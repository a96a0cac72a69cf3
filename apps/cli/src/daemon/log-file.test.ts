import { closeSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { limitLogs, openLogFile, piecesOf } from "./log-file.ts";

let logs: string;
let file: string;
beforeEach(() => {
  logs = mkdtempSync(join(tmpdir(), "stigmer-logs-"));
  file = join(logs, "server.log");
});
afterEach(() => rmSync(logs, { recursive: true }));

const pieces = (): Record<string, string> =>
  Object.fromEntries(
    readdirSync(logs)
      .toSorted()
      .map((name) => [name, readFileSync(join(logs, name), "utf8")]),
  );

test("a log is limited while its writer goes on, and three pieces of it are kept", () => {
  const { fd } = openLogFile(file);
  for (const line of ["one\n", "two\n", "three\n", "four\n", "five\n"]) {
    writeSync(fd, line);
    limitLogs(logs, 4);
  }
  closeSync(fd);
  expect(pieces()).toEqual({
    "server.log": "",
    "server.log.1": "five\n",
    "server.log.2": "four\n",
    "server.log.3": "three\n",
  });
});

test("one that was too large already is put aside before it is opened", () => {
  writeFileSync(file, "x".repeat(10 * 1024 * 1024 + 1));
  const { fd, size } = openLogFile(file);
  closeSync(fd);
  expect([size, statSync(`${file}.1`).size]).toEqual([0, 10 * 1024 * 1024 + 1]);
});

test("what is no log, and what is small, is left alone", () => {
  writeFileSync(join(logs, "notes.txt"), "mine, and long");
  writeFileSync(file, "one\n");
  limitLogs(logs, 4);
  expect(pieces()).toEqual({ "notes.txt": "mine, and long", "server.log": "one\n" });
  expect(piecesOf(file)).toEqual([`${file}.3`, `${file}.2`, `${file}.1`, file]);
});
