// The files of the sandbox. Each operation is one script that finds its place and works in it; large contents travel apart.
import { SandboxError } from "../errors.ts";
import { createQueues, decodeText, defaultMaxReadBytes, splitAt } from "../host-files/files.ts";
import { tooLarge } from "../host-files/read-file.ts";
import { quote } from "../isolated/quote.ts";
import { joinPath, outsideRoot, toRelativePath } from "../paths.ts";
import type { SandboxFiles, UploadFile } from "../sandbox.ts";
import { isFailure, toScriptError } from "./file-error.ts";
import type { Machine } from "./machine.ts";
import { createSearch } from "./search.ts";
import { placeFunctions, writeBytes } from "./shell-code.ts";

export interface FilesOptions {
  readonly machine: Machine;
  /** All links resolved. */
  readonly root: string;
  /** The names the root goes by, the real one first. */
  readonly roots: readonly [string, ...string[]];
  /** A directory outside the root that is ours alone, for what is on its way. */
  readonly base: string;
  /** Throws when the sandbox is no longer to be used. */
  readonly assertUsable: () => void;
}

/** What one file may have to travel within a script. */
const inlineBytes = 256 * 1024;
/** As Linux has them. */
const longestName = 255;
const longestPath = 4095;
const permissionBits = 0o777;

/** One file of a script: how it is asked for, and shell code that works on `$name` in its directory. */
export interface FileStep {
  readonly asked: string;
  /** Relative and normalised. */
  readonly path: string;
  readonly code: string;
}

/** Runs steps one after the other, each in a subshell at the root, up to the first that fails; answers what they print. */
export type RunSteps = (
  steps: readonly FileStep[],
  options: { readonly what: string; readonly parents?: boolean; readonly seconds?: number },
) => Promise<string[]>;

export function createDaytonaFiles(options: FilesOptions): SandboxFiles {
  const { machine, root, roots, base, assertUsable } = options;
  const serially = createQueues();
  let staged = 0;
  const stage = (): string => `${base}/file.${staged++}`;

  const run: RunSteps = async (steps, { what, parents = false, seconds }) => {
    assertUsable();
    const scripts = steps.map(({ asked, path, code }) => {
      assertLength(path, { asked, root });
      const cut = path.lastIndexOf("/");
      const [directory, name] = path === "" ? ["", "."] : [path.slice(0, Math.max(0, cut)), path.slice(cut + 1)];
      const enter = `${parents ? "enter_parents" : "enter"} ${quote(directory)}`;
      return `( cd -P -- "$root" 2>/dev/null || fail ENOENT\n${enter}\nname=${quote(name)}\n${code}\necho ok\n)`;
    });
    const script = `root=${quote(root)}\n${placeFunctions}\n${scripts.join("\necho ==\n")}`;
    const output = await machine.run(script, { what, idempotent: true, ...(seconds && { seconds }) });
    assertUsable();
    if (output === undefined) throw new SandboxError("backend-error", `The sandbox took too long to ${what}.`);
    return output.split(/(?:^|\n)==\n/).map((printed, at) => {
      const lines = printed.split("\n");
      const failure = lines.find(isFailure);
      if (failure !== undefined) throw toScriptError(failure, steps[at]?.asked ?? "");
      const end = lines.lastIndexOf("ok");
      if (end === -1) throw new SandboxError("backend-error", `The sandbox's shell could not ${what}.`);
      return lines.slice(0, end).join("\n");
    });
  };

  const toPath = (asked: string): string => toRelativePath(asked, roots);

  /** What is left after a failure lies outside the root, and goes with the sandbox. */
  const removeStaged = async (places: readonly string[]): Promise<void> => {
    await machine.run(`rm -f ${places.join(" ")}`, { what: "clean up", idempotent: true }).catch(() => {});
  };

  const readMany = async (requests: readonly { asked: string; maxBytes: number }[]): Promise<Uint8Array[]> => {
    const places = requests.map(({ asked, maxBytes }) => ({ asked, maxBytes, path: toPath(asked), at: stage() }));
    const steps = places.map(({ asked, path, maxBytes, at }) => ({ asked, path, code: readCode(maxBytes, at) }));
    const printed = await run(steps, { what: "read a file" });
    const apart: { readonly path: string; readonly size: number }[] = [];
    try {
      for (const [index, line] of printed.entries()) {
        const place = places[index];
        if (place === undefined) continue;
        if (line.startsWith("large ")) throw tooLarge(Number(line.slice(6)), place);
        if (line.startsWith("apart ")) apart.push({ path: place.at, size: Number(line.slice(6)) });
      }
      const large = new Map<string, Buffer>();
      if (apart.length > 0) {
        const contents = await machine.download(apart);
        for (const [index, { path }] of apart.entries()) large.set(path, contents[index] ?? Buffer.alloc(0));
      }
      return places.map(({ at, asked, maxBytes }, index) => {
        const content = large.get(at) ?? Buffer.from((printed[index] ?? "").replace(/^data ?/, ""), "base64");
        // It grew while it was copied.
        if (content.length > maxBytes) throw tooLarge(content.length, { asked, maxBytes });
        return new Uint8Array(content.buffer, content.byteOffset, content.length);
      });
    } finally {
      if (apart.length > 0) await removeStaged(apart.map(({ path }) => path));
    }
  };

  const writeMany = async (files: readonly UploadFile[]): Promise<void> => {
    const places = files.map(({ path: asked, content, mode }) => {
      const path = toPath(asked);
      if (path === "") throw toScriptError("! EISDIR", asked);
      assertLength(path, { asked, root });
      return { asked, path, mode, at: stage(), bytes: typeof content === "string" ? Buffer.from(content) : content };
    });
    const total = places.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const apart = total > inlineBytes;
    assertUsable();
    try {
      if (apart) await machine.upload(places.map(({ bytes, at }) => ({ source: asBuffer(bytes), destination: at })));
      const steps = places.map(({ asked, path, mode, at, bytes }) => {
        const bring = apart ? `cat ${quote(at)} >"./$temporary"` : writeBytes(bytes, `>"./$temporary"`);
        return { asked, path, code: writeCode(bring, mode) };
      });
      await run(steps, { what: "write a file", parents: true });
    } finally {
      if (apart) await removeStaged(places.map(({ at }) => at));
    }
  };

  const read: SandboxFiles["read"] = async (asked, { maxBytes = defaultMaxReadBytes } = {}) => {
    assertUsable();
    const [content] = await readMany([{ asked, maxBytes }]);
    return content ?? new Uint8Array(0);
  };
  const readText: SandboxFiles["readText"] = async (asked, readOptions) =>
    decodeText(await read(asked, readOptions), asked);
  const search = createSearch({ run, toPath, root });

  return {
    read,
    readText,

    write: async (asked, content, { mode } = {}) => {
      assertUsable();
      return serially(toPath(asked), () => writeMany([{ path: asked, content, ...(mode !== undefined && { mode }) }]));
    },

    edit: async (asked, oldText, newText, editOptions) => {
      assertUsable();
      return serially(toPath(asked), async () => {
        const parts = splitAt(await readText(asked), oldText, { asked, replaceAll: editOptions?.replaceAll });
        await writeMany([{ path: asked, content: parts.join(newText) }]);
        return { occurrences: parts.length - 1 };
      });
    },

    ...search,

    exists: async (asked) => {
      assertUsable();
      const code = `follow; [ -e "./$name" ] && echo yes`;
      try {
        const [found] = await run([{ asked, path: toPath(asked), code }], { what: "look for a file" });
        return found === "yes";
      } catch (error) {
        if (SandboxError.is(error) && (error.code === "not-found" || error.code === "not-directory")) return false;
        // Where a link leads to a directory, `follow` has gone into it.
        if (SandboxError.is(error) && error.code === "is-directory") return true;
        throw error;
      }
    },

    remove: async (asked) => {
      assertUsable();
      const path = toPath(asked);
      if (path === "") throw outsideRoot(asked);
      const code = `said=$(rm -rf -- "./$name" 2>&1) || fail_with "$said"`;
      try {
        await run([{ asked, path, code }], { what: "remove a file" });
      } catch (error) {
        if (SandboxError.is(error) && (error.code === "not-found" || error.code === "not-directory")) return;
        throw error;
      }
    },

    upload: async (files) => {
      assertUsable();
      if (files.length > 0) await writeMany(files);
    },

    download: async (paths) => {
      assertUsable();
      if (paths.length === 0) return [];
      return readMany(paths.map((asked) => ({ asked, maxBytes: defaultMaxReadBytes })));
    },

    resolve: (asked) => joinPath(root, toPath(asked)),
  };
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Asked here, since a shell tells every failure to enter a directory alike. */
function assertLength(path: string, { asked, root }: { readonly asked: string; readonly root: string }): void {
  const tooLong =
    Buffer.byteLength(joinPath(root, path)) > longestPath ||
    path.split("/").some((name) => Buffer.byteLength(name) > longestName);
  if (tooLong) throw toScriptError("! ENAMETOOLONG", asked);
}

/** What was opened is asked where it lies: a link can be put in its place until the very moment. */
const openCode = `
[ -d "./$name" ] && [ ! -L "./$name" ] && fail EISDIR
follow
[ -d "./$name" ] && fail EISDIR
[ -e "./$name" ] || fail ENOENT
[ -f "./$name" ] || fail ENXIO
{ command exec 3<"./$name"; } 2>/dev/null || { [ -r "./$name" ] && fail ENOENT; fail EACCES; }
here=$(readlink /proc/self/fd/3)
case $here in "$root"/*) ;; *) fail ELOOP ;; esac`;

const readCode = (maxBytes: number, at: string): string => `${openCode}
size=$(stat -L -c %s /proc/self/fd/3)
if [ "$size" -gt ${maxBytes} ]; then echo "large $size"
elif [ "$size" -gt ${inlineBytes} ]; then cat <&3 >${quote(at)} || fail EIO; echo "apart $(stat -c %s ${quote(at)})"
else printf 'data '; head -c ${maxBytes + 1} <&3 | base64 -w 0; echo; fi`;

/** A rename asks only for a writable directory. That a file is write-protected is meant, so it is asked for first. */
const writeCode = (bring: string, mode: number | undefined): string => `
follow
[ -d "./$name" ] && fail EISDIR
kept=
if [ -e "./$name" ]; then
  [ -w "./$name" ] || fail EACCES
  kept=$(stat -c '%a %u:%g' "./$name")
fi
temporary=.$(od -An -N9 -tx1 /dev/urandom | tr -d ' \\n').tmp
spoiled() { rm -f "./$temporary"; fail_with "$1"; }
said=$({
set -C
${bring}
} 2>&1) || spoiled "$said"
if [ "$kept" != "" ]; then
  [ "$(id -u)" = 0 ] && chown "\${kept#* }" "./$temporary"
  chmod "\${kept%% *}" "./$temporary"
fi
${mode === undefined ? "" : `chmod ${(mode & permissionBits).toString(8)} "./$temporary"`}
said=$(mv -fT -- "./$temporary" "./$name" 2>&1) || spoiled "$said"`;
