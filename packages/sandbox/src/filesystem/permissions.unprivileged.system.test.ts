// Root passes every permission check, so that these mean something only for another user.
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Sandbox } from "../sandbox.ts";
import { createFilesystemSandbox } from "./index.ts";

let root: string;
let sandbox: Sandbox;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "permissions-"));
  sandbox = await createFilesystemSandbox({ rootDir: root });
});

afterEach(async () => {
  await sandbox.execute("chmod -R u+rwx .");
  await sandbox.dispose();
  await rm(root, { recursive: true });
});

test("runs as an unprivileged user", () => {
  expect(process.geteuid?.()).not.toBe(0);
});

test("a file that may not be read or written is left as it is", async () => {
  await writeFile(join(root, "read-only"), "kept", { mode: 0o444 });
  await expect(sandbox.files.write("read-only", "new")).rejects.toMatchObject({ code: "permission" });
  await expect(sandbox.files.edit("read-only", "kept", "new")).rejects.toMatchObject({ code: "permission" });
  expect(await readFile(join(root, "read-only"), "utf8")).toBe("kept");
  await writeFile(join(root, "unreadable"), "secret", { mode: 0o000 });
  await expect(sandbox.files.read("unreadable")).rejects.toMatchObject({ code: "permission" });
});

test("a directory that may not be written keeps what is in it", async () => {
  await mkdir(join(root, "dir"));
  await writeFile(join(root, "dir/file"), "kept");
  await chmod(join(root, "dir"), 0o555);
  await expect(sandbox.files.write("dir/new", "x")).rejects.toMatchObject({ code: "permission" });
  await expect(sandbox.files.write("dir/file", "x")).rejects.toMatchObject({ code: "permission" });
  await expect(sandbox.files.remove("dir/file")).rejects.toMatchObject({ code: "permission" });
  await expect(sandbox.files.remove("dir")).rejects.toMatchObject({ code: "permission" });
  expect(await sandbox.files.readText("dir/file")).toBe("kept");
});

test("a directory that may be passed through need not be readable", async () => {
  await mkdir(join(root, "dir/sub"), { recursive: true });
  await writeFile(join(root, "dir/sub/file"), "found");
  await chmod(join(root, "dir"), 0o311);
  expect(await sandbox.files.readText("dir/sub/file")).toBe("found");
  await sandbox.files.write("dir/new", "x");
  expect(await sandbox.files.readText("dir/new")).toBe("x");
  await expect(sandbox.files.list("dir")).rejects.toMatchObject({ code: "permission" });
});

test("searches pass over what may not be read", async () => {
  await sandbox.files.upload([
    { path: "closed/file", content: "needle" },
    { path: "open/file", content: "needle" },
    { path: "open/unreadable", content: "needle", mode: 0o000 },
  ]);
  await chmod(join(root, "closed"), 0o000);
  expect((await sandbox.files.glob("**")).map(({ path }) => path)).toEqual(["open/file", "open/unreadable"]);
  expect((await sandbox.files.grep("needle")).matches.map(({ path }) => path)).toEqual(["open/file"]);
});

test("a root that can't be made is refused", async () => {
  await chmod(root, 0o555);
  await expect(createFilesystemSandbox({ rootDir: join(root, "new") })).rejects.toMatchObject({ code: "permission" });
  await chmod(root, 0o755);
});

test("a working directory that may not be entered is refused, a script that may not be run a result", async () => {
  await mkdir(join(root, "closed/sub"), { recursive: true });
  await chmod(join(root, "closed"), 0o000);
  await expect(sandbox.execute("pwd", { cwd: "closed/sub" })).rejects.toMatchObject({ code: "permission" });
  await sandbox.files.write("script", "#!/bin/sh\n", { mode: 0o644 });
  expect(await sandbox.execute("./script")).toMatchObject({ exitCode: 126, reason: "permission" });
});
