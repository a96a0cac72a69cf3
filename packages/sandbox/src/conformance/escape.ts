// No path leads out of the root.
import assert from "node:assert/strict";
import { SandboxError } from "../errors.ts";
import type { Sandbox } from "../sandbox.ts";
import { rejectsWith, type ConformanceCase } from "./conformance-case.ts";

/**
 * Makes a directory outside the root, as commands see it, with a file `secret` in it, and asserts afterwards that nothing
 * there was changed.
 */
async function withOutside(sandbox: Sandbox, use: (outside: string) => Promise<void>): Promise<void> {
  const { stdout, stderr } = await sandbox.execute('cd "$(mktemp -d)" && printf outside > secret && pwd -P');
  assert.ok(stdout.startsWith("/"), `No directory could be made outside the root: ${stderr}`);
  const outside = stdout.trim();
  let left = "";
  try {
    await use(outside);
  } finally {
    const command = `cd ${outside} && for f in $(find . -type f); do printf '%s=%s\\n' "$f" "$(cat "$f")"; done; rm -rf ${outside}`;
    left = (await sandbox.execute(command)).stdout;
  }
  assert.equal(left, "./secret=outside\n", "Something outside the root was changed.");
}

export const escapeCases: readonly ConformanceCase[] = [
  {
    name: "refuses `..` past the root in every operation",
    async run({ sandbox: { files, root } }) {
      for (const path of ["..", "../x", "a/../../x", "/../x", `${root}/../x`, "./../x"]) {
        await rejectsWith("outside-root", () => files.read(path));
        await rejectsWith("outside-root", () => files.write(path, ""));
        await rejectsWith("outside-root", () => files.edit(path, "a", "b"));
        await rejectsWith("outside-root", () => files.list(path));
        await rejectsWith("outside-root", () => files.glob("*", { cwd: path }));
        await rejectsWith("outside-root", () => files.grep("a", { path }));
        await rejectsWith("outside-root", () => files.exists(path));
        await rejectsWith("outside-root", () => files.remove(path));
        await rejectsWith("outside-root", () => files.upload([{ path, content: "" }]));
        await rejectsWith("outside-root", () => files.download([path]));
        await rejectsWith("outside-root", async () => files.resolve(path));
      }
      await rejectsWith("outside-root", () => files.glob("../*"));
    },
  },
  {
    name: "reads an absolute path as one under the root",
    async run({ sandbox }) {
      const { files, root } = sandbox;
      await files.write("/etc/passwd", "mine");
      assert.equal(await files.readText("etc/passwd"), "mine");
      assert.equal(await files.readText(`${root}/etc/passwd`), "mine");
      assert.equal((await sandbox.execute("cat etc/passwd")).stdout, "mine");
      assert.equal(files.resolve("/etc/passwd"), `${root}/etc/passwd`);
      assert.equal(files.resolve(`${root}/a/./b/../c`), `${root}/a/c`);
      assert.equal(files.resolve("/"), root);
    },
  },
  {
    name: "follows links that stay inside",
    async run({ sandbox }) {
      const { files, root } = sandbox;
      await files.write("real/dir/file", "inside");
      await sandbox.execute(
        `ln -s real/dir link && ln -s "${root}/real" absolute && ln -s ../../real/dir/file real/dir/up && ln -s link chain`,
      );
      for (const path of ["link/file", "absolute/dir/file", "real/dir/up", "chain/file"]) {
        assert.equal(await files.readText(path), "inside", path);
      }
      await files.write("link/new", "n");
      assert.equal(await files.readText("real/dir/new"), "n");
      await files.write("real/dir/up", "through");
      assert.equal(await files.readText("real/dir/file"), "through");
    },
  },
  {
    name: "refuses links that lead out, and leaves what is there alone",
    async run({ sandbox }) {
      const { files } = sandbox;
      await withOutside(sandbox, async (outside) => {
        await sandbox.execute(
          `ln -s ${outside} dir && ln -s ${outside}/secret file && ln -s ${outside}/none dangling && ln -s ../.. up && mkdir sub && ln -s ../dir sub/chain`,
        );
        for (const path of ["dir/secret", "file", "sub/chain/secret", `up${outside}/secret`]) {
          await rejectsWith("outside-root", () => files.read(path));
          await rejectsWith("outside-root", () => files.write(path, "overwritten"));
          await rejectsWith("outside-root", () => files.edit(path, "outside", "edited"));
          await rejectsWith("outside-root", () => files.grep("outside", { path }));
        }
        await rejectsWith("outside-root", () => files.write("dangling", "created"));
        await rejectsWith("outside-root", () => files.write("dir/new/file", "created"));
        await rejectsWith("outside-root", () => files.list("dir"));
        await rejectsWith("outside-root", () => files.glob("*", { cwd: "dir" }));
        await rejectsWith("outside-root", () => files.remove("dir/secret"));
        await rejectsWith("outside-root", () => sandbox.execute("pwd", { cwd: "dir" }));
      });
    },
  },
  {
    name: "searches do not follow links",
    async run({ sandbox }) {
      const { files } = sandbox;
      await withOutside(sandbox, async (outside) => {
        await files.write("here/inside.txt", "outside is not inside");
        await sandbox.execute(`ln -s ${outside} here/dir && ln -s ${outside}/secret here/file && ln -s . here/loop`);
        const globbed = (await files.glob("**")).map(({ path, type }) => `${path} ${type}`);
        assert.deepEqual(globbed, [
          "here/dir symlink",
          "here/file symlink",
          "here/inside.txt file",
          "here/loop symlink",
        ]);
        const { matches } = await files.grep("outside");
        assert.deepEqual(
          matches.map(({ path }) => path),
          ["here/inside.txt"],
        );
      });
    },
  },
  {
    name: "removes a link itself, also from within a directory",
    async run({ sandbox }) {
      await withOutside(sandbox, async (outside) => {
        await sandbox.execute(
          `ln -s ${outside} dir && ln -s ${outside}/secret file && mkdir d && ln -s ${outside} d/nested`,
        );
        for (const path of ["dir", "file", "d"]) await sandbox.files.remove(path);
        assert.deepEqual(await sandbox.files.list(), []);
      });
    },
  },
  {
    name: "does not go round in circles",
    async run({ sandbox }) {
      await sandbox.execute("ln -s b a; ln -s a b; ln -s self self");
      for (const path of ["a", "self/x"]) await rejectsWith("not-found", () => sandbox.files.read(path));
      await sandbox.files.remove("a");
    },
  },
  {
    name: "stays inside while a directory is exchanged for a link",
    async run({ sandbox }) {
      const { files } = sandbox;
      await withOutside(sandbox, async (outside) => {
        await files.write("swap/secret", "inside");
        const abort = new AbortController();
        // A write makes the directory anew when it is away, and the exchange goes astray: then it is set up again.
        const setUp =
          "rm -rf swap aside link secret; mkdir swap; printf inside >secret; mv secret swap; " +
          `ln -s ${outside} link`;
        const exchange = "mv swap aside; mv link swap; mv swap link; mv aside swap";
        const swapping = sandbox.execute(
          `${setUp}; while :; do ${exchange}; [ -f swap/secret ] && [ -L link ] || { ${setUp}; }; done 2>/dev/null`,
          { signal: abort.signal, timeoutMs: 60_000 },
        );
        try {
          const seen = { inside: 0, refused: 0 };
          const attempt = async (operation: () => Promise<unknown>): Promise<void> => {
            try {
              await operation();
            } catch (error) {
              assert.ok(SandboxError.is(error), String(error));
              seen.refused++;
            }
          };
          const started = performance.now();
          // Two seconds long, and on a busy machine until the exchange was met both ways.
          const enough = (): boolean => {
            const elapsed = performance.now() - started;
            return elapsed > 15_000 || (elapsed > 2000 && seen.inside > 0 && seen.refused > 0);
          };
          for (let round = 0; !enough(); round++) {
            await Promise.all([
              attempt(async () => {
                assert.equal(await files.readText("swap/secret"), "inside");
                seen.inside++;
              }),
              attempt(() => files.write(`swap/new-${round % 5}`, "written")),
              attempt(() => files.write(`swap/deep/new-${round % 5}`, "written")),
              attempt(() => files.remove(`swap/new-${(round + 2) % 5}`)),
              attempt(() => files.edit(`swap/new-${(round + 1) % 5}`, "written", "edited")),
              attempt(async () => assert.deepEqual((await files.grep("outside")).matches, [])),
            ]);
          }
          assert.ok(
            seen.inside > 0 && seen.refused > 0,
            `The exchange never met an operation: ${JSON.stringify(seen)}`,
          );
        } finally {
          abort.abort();
          await swapping;
        }
      });
    },
  },
];
