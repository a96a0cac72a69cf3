// What each file operation does.
import assert from "node:assert/strict";
import { rejectsWith, type ConformanceCase } from "./conformance-case.ts";

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 31) % 256);

export const filesCases: readonly ConformanceCase[] = [
  {
    name: "reads what was written, byte for byte",
    async run({ sandbox: { files } }) {
      await files.write("data.bin", bytes(1000));
      assert.deepEqual(new Uint8Array(await files.read("data.bin")), bytes(1000));
      await files.write("empty", "");
      assert.equal((await files.read("empty")).length, 0);
      await files.write("bom.txt", "\uFEFFa\r\nb");
      assert.equal(await files.readText("bom.txt"), "\uFEFFa\r\nb");
    },
  },
  {
    name: "shares files with commands",
    async run({ sandbox }) {
      await sandbox.files.write("from-outside.txt", "hällo");
      assert.equal((await sandbox.execute("cat from-outside.txt; printf back > from-command.txt")).stdout, "hällo");
      assert.equal(await sandbox.files.readText("from-command.txt"), "back");
    },
  },
  {
    name: "takes 16 MB",
    async run({ sandbox }) {
      const content = bytes(16 * 1024 * 1024);
      await sandbox.files.write("large.bin", content);
      assert.equal(Buffer.compare(await sandbox.files.read("large.bin"), content), 0);
      assert.equal((await sandbox.execute("wc -c < large.bin")).stdout.trim(), String(content.length));
    },
  },
  {
    name: "reads no more than it is allowed to",
    async run({ sandbox: { files } }) {
      await files.write("ten", "0123456789");
      assert.equal((await files.read("ten", { maxBytes: 10 })).length, 10);
      await rejectsWith("too-large", () => files.read("ten", { maxBytes: 9 }));
      await rejectsWith("too-large", () => files.readText("ten", { maxBytes: 9 }));
    },
  },
  {
    name: "takes any name",
    async run({ sandbox }) {
      const { files } = sandbox;
      const names = [
        "sp ace",
        "ünï😀",
        "new\nline",
        "-dash",
        "quo'te\"s",
        "back\\slash",
        "*?[a]",
        "$HOME",
        "#",
        "...",
        ".hid",
      ];
      for (const name of names) await files.write(`dir/${name}`, name);
      for (const name of names) assert.equal(await files.readText(`dir/${name}`), name);
      assert.deepEqual(
        (await files.list("dir")).map(({ path }) => path),
        names.map((name) => `dir/${name}`).sort(),
      );
      assert.equal((await sandbox.execute("cat 'dir/new\nline'")).stdout, "new\nline");
      for (const name of names) await files.remove(`dir/${name}`);
      assert.deepEqual(await files.list("dir"), []);
    },
  },
  {
    name: "tells why it can't read",
    async run({ sandbox }) {
      const { files } = sandbox;
      await files.write("dir/file", "x");
      await rejectsWith("not-found", () => files.read("missing"));
      await rejectsWith("not-found", () => files.read("missing/file"));
      await rejectsWith("is-directory", () => files.read("dir"));
      await rejectsWith("is-directory", () => files.read(""));
      await rejectsWith("not-directory", () => files.read("dir/file/x"));
      await rejectsWith("invalid-argument", () => files.read("a\0b"));
      await files.write("latin1", new Uint8Array([0x67, 0x72, 0xfc, 0xdf]));
      await rejectsWith("not-text", () => files.readText("latin1"));
      await rejectsWith("not-text", () => files.edit("latin1", "g", "h"));
    },
  },
  {
    name: "does not wait for a named pipe",
    async run({ sandbox }) {
      await sandbox.execute("mkfifo pipe");
      await rejectsWith("invalid-argument", () => sandbox.files.read("pipe"));
      assert.deepEqual((await sandbox.files.grep("x")).matches, []);
    },
  },
  {
    name: "creates parents, replaces files, refuses directories",
    async run({ sandbox: { files } }) {
      await files.write("a/b/c/file", "1");
      await files.write("a/b/c/file", "22");
      assert.equal(await files.readText("a/b/c/file"), "22");
      assert.deepEqual(
        (await files.list("a/b/c")).map(({ path, size }) => [path, size]),
        [["a/b/c/file", 2]],
      );
      await rejectsWith("is-directory", () => files.write("a/b", ""));
      await rejectsWith("is-directory", () => files.write("", ""));
      await rejectsWith("not-directory", () => files.write("a/b/c/file/x", ""));
      await rejectsWith("invalid-argument", () => files.write("n".repeat(300), ""));
    },
  },
  {
    name: "sets and keeps permission bits",
    async run({ sandbox }) {
      const { files } = sandbox;
      await files.write("run.sh", "#!/bin/sh\necho ran\n", { mode: 0o755 });
      assert.equal((await sandbox.execute("./run.sh")).stdout, "ran\n");
      await files.write("run.sh", "#!/bin/sh\necho again\n");
      assert.equal((await sandbox.execute("./run.sh")).stdout, "again\n");
      await files.edit("run.sh", "again", "edited");
      assert.equal((await sandbox.execute("./run.sh")).stdout, "edited\n");
      await files.write("run.sh", "", { mode: 0o600 });
      assert.match((await sandbox.execute("ls -l run.sh")).stdout, /^-rw-------/);
    },
  },
  {
    name: "replaces a file in one step",
    async run({ sandbox }) {
      const { files } = sandbox;
      const versions = ["a".repeat(200_000), "b".repeat(300_000)];
      await files.write("file", versions[0] ?? "");
      let writing = true;
      const write = async (): Promise<void> => {
        for (let round = 0; round < 40; round++) await files.write("file", versions[round % 2] ?? "");
      };
      const read = async (): Promise<void> => {
        while (writing) assert.ok(versions.includes(await files.readText("file")), "A half-written file was read.");
      };
      const ends = await Promise.allSettled([write().finally(() => (writing = false)), read()]);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      assert.deepEqual(
        (await files.list()).map(({ path }) => path),
        ["file"],
      );
    },
  },
  {
    name: "edits by exact text",
    async run({ sandbox: { files } }) {
      await files.write("file", "one two two $&\r\n");
      assert.deepEqual(await files.edit("file", "one", "$& $1"), { occurrences: 1 });
      assert.equal(await files.readText("file"), "$& $1 two two $&\r\n");
      await rejectsWith("ambiguous-match", () => files.edit("file", "two", "2"));
      await rejectsWith("no-match", () => files.edit("file", "three", "3"));
      await rejectsWith("invalid-argument", () => files.edit("file", "", "3"));
      await rejectsWith("not-found", () => files.edit("missing", "a", "b"));
      assert.deepEqual(await files.edit("file", "two", "2", { replaceAll: true }), { occurrences: 2 });
      assert.equal(await files.readText("file"), "$& $1 2 2 $&\r\n");
    },
  },
  {
    name: "loses no edit when several come at once",
    async run({ sandbox: { files } }) {
      const words = Array.from({ length: 20 }, (_, at) => `<${at}>`);
      await files.write("file", words.join(""));
      await Promise.all(words.map((word, at) => files.edit("file", word, `[${at}]`)));
      assert.equal(await files.readText("file"), words.map((_, at) => `[${at}]`).join(""));
    },
  },
  {
    name: "lists a directory by name",
    async run({ sandbox }) {
      const { files } = sandbox;
      await files.write("b.txt", "22");
      await files.write("a/x", "");
      await sandbox.execute("ln -s b.txt c; mkfifo d");
      const entries = (await files.list()).map(({ path, type, size }) => [path, type, size]);
      assert.deepEqual(entries, [
        ["a", "directory", 0],
        ["b.txt", "file", 2],
        ["c", "symlink", 0],
        ["d", "other", 0],
      ]);
      const [entry] = await files.list("/a/");
      assert.equal(entry?.path, "a/x");
      assert.ok(Math.abs(Date.now() - (entry?.modifiedAt.getTime() ?? 0)) < 3_600_000);
      await rejectsWith("not-found", () => files.list("missing"));
      await rejectsWith("not-directory", () => files.list("b.txt"));
    },
  },
  {
    name: "globs",
    async run({ sandbox: { files } }) {
      const paths = ["a-b.ts", "a/x.ts", "a/b/y.ts", "a/b/z.js", ".hidden/h.ts", "a/.h.ts", "top.ts", "we[ir]d.ts"];
      for (const path of paths) await files.write(path, "x");
      const glob = async (pattern: string, cwd?: string): Promise<string[]> =>
        (await files.glob(pattern, { cwd })).map((entry) => entry.path);
      assert.deepEqual(await glob("*.ts"), ["a-b.ts", "top.ts", "we[ir]d.ts"]);
      assert.deepEqual(await glob("**/*.ts"), ["a-b.ts", "a/b/y.ts", "a/x.ts", "top.ts", "we[ir]d.ts"]);
      assert.deepEqual(await glob("a/**/*.{ts,js}"), ["a/b/y.ts", "a/b/z.js", "a/x.ts"]);
      assert.deepEqual(await glob("b/*", "a"), ["a/b/y.ts", "a/b/z.js"]);
      assert.deepEqual(await glob("/a/?.ts"), ["a/x.ts"]);
      assert.deepEqual(await glob("**/.*.ts"), ["a/.h.ts"]);
      assert.deepEqual(await glob(".hidden/*"), [".hidden/h.ts"]);
      assert.deepEqual(await glob("a/b"), []);
      const withDirectories = await files.glob("{a*,a/**}", { directories: true });
      assert.deepEqual(
        withDirectories.map(({ path, type }) => [path, type]),
        [
          ["a", "directory"],
          ["a-b.ts", "file"],
          ["a/b", "directory"],
          ["a/b/y.ts", "file"],
          ["a/b/z.js", "file"],
          ["a/x.ts", "file"],
        ],
      );
      assert.deepEqual(await glob("none/*"), []);
      const limited = await files.glob("**", { maxResults: 2 });
      assert.deepEqual(
        limited.map(({ path, size }) => [path, size]),
        [
          ["a-b.ts", 1],
          ["a/b/y.ts", 1],
        ],
      );
      await rejectsWith("not-found", () => files.glob("*", { cwd: "missing" }));
      await rejectsWith("not-directory", () => files.glob("*", { cwd: "top.ts" }));
    },
  },
  {
    name: "a pattern can't take for ever",
    async run({ sandbox: { files } }) {
      await files.write(`${"a".repeat(60)}b`, "");
      for (const pattern of ["+(a|aa)*(a|aa)+(a|aa)c", "(a+)+(a+)+(a+)+c", `${"*a".repeat(20)}c`]) {
        assert.deepEqual(await files.glob(pattern), []);
      }
    },
  },
  {
    name: "finds lines by literal text",
    async run({ sandbox: { files } }) {
      await files.write("a.txt", "one.two\nonextwo\r\n\nlast one.two one.two");
      await files.write("sub/b.ts", "x\none.two\r\n");
      await files.write("sub/.env", "one.two");
      await files.write("binary", new Uint8Array([...Buffer.from("one.two"), 0]));
      const all = await files.grep("one.two");
      assert.deepEqual(all, {
        truncated: false,
        matches: [
          { path: "a.txt", line: 1, text: "one.two" },
          { path: "a.txt", line: 4, text: "last one.two one.two" },
          { path: "sub/.env", line: 1, text: "one.two" },
          { path: "sub/b.ts", line: 2, text: "one.two" },
        ],
      });
      const where = async (options: Parameters<typeof files.grep>[1]): Promise<string[]> =>
        (await files.grep("one.two", options)).matches.map(({ path, line }) => `${path}:${line}`);
      assert.deepEqual(await where({ glob: "*.ts" }), ["sub/b.ts:2"]);
      assert.deepEqual(await where({ glob: "sub/*" }), ["sub/.env:1", "sub/b.ts:2"]);
      assert.deepEqual(await where({ path: "sub" }), ["sub/.env:1", "sub/b.ts:2"]);
      assert.deepEqual(await where({ path: "/a.txt" }), ["a.txt:1", "a.txt:4"]);
      assert.deepEqual(await files.grep("one.two", { maxMatches: 1 }), {
        truncated: true,
        matches: all.matches.slice(0, 1),
      });
      assert.deepEqual((await files.grep("one.two", { maxMatches: 4 })).truncated, false);
      assert.deepEqual((await files.grep("two\nonextwo")).matches, []);
      await rejectsWith("not-found", () => files.grep("x", { path: "missing" }));
      await rejectsWith("invalid-argument", () => files.grep(""));
    },
  },
  {
    name: "finds lines in a file of many megabytes, and cuts endless ones",
    async run({ sandbox }) {
      const { files } = sandbox;
      await sandbox.execute(
        "seq 1 1500000 > numbers.txt; (head -c 6000000 /dev/zero | tr '\\0' x; echo needle) > line.txt",
      );
      const { matches } = await files.grep("1499999");
      assert.deepEqual(matches, [{ path: "numbers.txt", line: 1_499_999, text: "1499999" }]);
      const [found] = (await files.grep("needle")).matches;
      assert.equal(found?.path, "line.txt");
      assert.ok(found.text.includes("needle") && found.text.length <= 2000);
    },
  },
  {
    name: "tells whether something exists, and removes it",
    async run({ sandbox }) {
      const { files } = sandbox;
      await files.write("dir/sub/file", "");
      await sandbox.execute("ln -s nowhere dangling");
      for (const path of ["", "dir", "dir/sub/file"]) assert.equal(await files.exists(path), true, path);
      for (const path of ["none", "none/x", "dir/sub/file/x", "dangling"])
        assert.equal(await files.exists(path), false, path);
      await files.remove("dir/sub/file");
      assert.equal(await files.exists("dir/sub/file"), false);
      await files.write("dir/a/b/c", "");
      for (const path of ["dir", "dir", "none/x", "dangling"]) await files.remove(path);
      assert.deepEqual(await files.list(), []);
      for (const path of ["", "/", "."]) await rejectsWith("outside-root", () => files.remove(path));
    },
  },
  {
    name: "uploads and downloads many, in order",
    async run({ sandbox: { files } }) {
      await files.upload([
        { path: "x/1", content: "one" },
        { path: "x/2", content: bytes(3), mode: 0o600 },
      ]);
      const contents = await files.download(["x/2", "x/1"]);
      assert.deepEqual(
        contents.map((content) => [...content]),
        [[...bytes(3)], [...Buffer.from("one")]],
      );
      await rejectsWith("not-found", () => files.download(["x/1", "x/3"]));
      await rejectsWith("is-directory", () => files.upload([{ path: "x", content: "" }]));
    },
  },
];
