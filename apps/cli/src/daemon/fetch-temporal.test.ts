import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveHome } from "@stigmer/config";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCli } from "../__fixtures__/local-server.ts";
import type { CommandIo } from "../command-io.ts";
import { chooseTemporal } from "../commands/local/choose-temporal.ts";
import { fetchTemporal } from "./fetch-temporal.ts";

const machine = { platform: "linux", arch: "x64" };
const name = "temporal_cli_1.5.1_linux_amd64.tar.gz";

let folder: string;
let binDir: string;
let server: Server;
let env: Record<string, string>;
let files: Record<string, Buffer | string>;
let breakOff: boolean;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "stigmer-fetch-"));
  binDir = join(folder, "bin");
  writeFileSync(join(folder, "temporal"), "#!/bin/sh\necho the real one\n");
  execFileSync("tar", ["-czf", join(folder, "archive"), "-C", folder, "temporal"]);
  const archive = readFileSync(join(folder, "archive"));
  const checksum = createHash("sha256").update(archive).digest("hex");
  files = {
    "/v1.5.1/checksums.txt": `${"0".repeat(64)}  other.tar.gz\n${checksum}  ${name}\n`,
    [`/v1.5.1/${name}`]: archive,
  };
  breakOff = false;
  server = createServer((request, response) => {
    const file = files[request.url ?? ""];
    if (file === undefined) return void response.writeHead(404).end();
    if (!breakOff || typeof file === "string") return void response.end(file);
    response.writeHead(200, { "content-length": file.length });
    response.write(file.subarray(0, 10), () => response.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  env = { STIGMER_TEMPORAL_DOWNLOAD_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
});
afterEach(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const fetched = (signal = new AbortController().signal): Promise<string> =>
  fetchTemporal({ binDir, env, signal, machine });

test("a whole archive with its checksum becomes a program", async () => {
  const program = await fetched();
  expect(program).toBe(join(binDir, "temporal"));
  expect(execFileSync(program, { encoding: "utf8" })).toBe("the real one\n");
  expect(readdirSync(binDir)).toEqual(["temporal"]);
});

test.each<[string, () => void, RegExp]>([
  [
    "another content",
    () => (files[`/v1.5.1/${name}`] = Buffer.from("evil")),
    /has the checksum [0-9a-f]{64}, and should have/,
  ],
  ["no checksum", () => (files["/v1.5.1/checksums.txt"] = "nothing\n"), /has no checksum of temporal_cli/],
  ["no release", () => (files = {}), /checksums\.txt answers 404/],
  ["half an archive", () => (breakOff = true), /broke off/],
  ["nobody there", () => void server.close(), /can't be reached \(ECONNREFUSED\)/],
])("with %s nothing is put in place", async (_, change, says) => {
  change();
  await expect(fetched()).rejects.toMatchObject({ code: "failed", message: expect.stringMatching(says) });
  await expect(fetched()).rejects.toThrow(/STIGMER_TEMPORAL_DOWNLOAD_URL/);
  expect(readdirSync(binDir)).toEqual([]);
});

test("another machine is refused, and an interruption leaves nothing", async () => {
  const { signal } = new AbortController();
  const other = { platform: "win32", arch: "x64" };
  await expect(fetchTemporal({ binDir, env, signal, machine: other })).rejects.toThrow("no Temporal for win32 on x64");
  await expect(fetched(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  expect(readdirSync(binDir)).toEqual([]);
});

test("`local start` fetches only when it may", async () => {
  files = {};
  const start = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
    startCli(["local", "start", "--engine", "temporal", ...args], { env: { STIGMER_HOME: folder, PATH: "", ...env } })
      .done;
  const asked = await start();
  expect(asked).toMatchObject({ code: 1, out: "" });
  expect(asked.err).toMatch(/^There is no `temporal` on PATH nor in [^\n]*--yes[^\n]*\n$/);
  const may = await start("--yes");
  expect(may).toMatchObject({ code: 1, out: "" });
  expect(may.err).toMatch(/^Fetching [^\n]*\nTemporal was not fetched: [^\n]*answers 404[^\n]*\n$/);
  const runner = { type: "docker", image: "any", mounts: [] } as const;
  const io = { env: {} } as CommandIo;
  await expect(
    chooseTemporal({ engine: "temporal", runner, configured: "embedded" }, resolveHome({ STIGMER_HOME: folder }), io),
  ).rejects.toThrow("leave out --runner docker");
  const configured = { STIGMER_HOME: folder, TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:9" };
  expect(await startCli(["local", "start", "--engine", "embedded"], { env: configured }).done).toMatchObject({
    code: 2,
    err: expect.stringMatching(/TEMPORAL_SERVICE_ADDRESS names a Temporal: unset it\.\n$/),
  });
});
