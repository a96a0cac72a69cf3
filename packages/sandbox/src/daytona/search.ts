// list, glob and grep: the sandbox tells what there is, and what of it is meant is decided here, as for every backend.
import { SandboxError } from "../errors.ts";
import { parseGlob } from "../glob.ts";
import { defaultMaxResults } from "../host-files/files.ts";
import { excerpt, fileFilter } from "../host-files/search.ts";
import { quote } from "../isolated/quote.ts";
import { joinPath } from "../paths.ts";
import type { FileEntry, GrepMatch, SandboxFiles } from "../sandbox.ts";
import type { RunSteps } from "./files.ts";

/** Of all that a search finds; what is beyond it is told as truncated, or left out of a list. */
const mostFoundBytes = 64 * 1024 * 1024;

/** A tree can be large. */
const searchSeconds = 300;

export interface SearchOptions {
  readonly run: RunSteps;
  toPath(asked: string): string;
  readonly root: string;
}

/** Prints where the directory really lies, and then what `print` prints in it. */
const inDirectory = (print: string): string => `
if [ "$name" != . ]; then cd -P -- "./$name" 2>/dev/null || why_not "./$name"; inside; fi
printf %s "$here" | base64 -w 0; echo
${print} 2>/dev/null | head -c ${mostFoundBytes} | base64 -w 0; echo`;

/** find and grep go through a tree by handles, and so follow no link that is put in their way. */
const entries = (tests: string): string => `find . -mindepth 1 ${tests} -printf '%y/%s/%T@/%P\\0'`;

export function createSearch({ run, toPath, root }: SearchOptions): Pick<SandboxFiles, "list" | "glob" | "grep"> {
  /** What was printed as the real place of something. */
  const belowRoot = (printed: string): string =>
    Buffer.from(printed, "base64").toString("utf8").slice(root.length).replace(/^\//, "");

  const readEntries = async (asked: string, tests: string): Promise<{ base: string; found: Entry[] }> => {
    const path = toPath(asked);
    const [printed = ""] = await run([{ asked, path, code: inDirectory(entries(tests)) }], {
      what: "list files",
      seconds: searchSeconds,
    });
    const [here = "", found = ""] = printed.split("\n");
    const decoded = Buffer.from(found, "base64").toString("utf8").split("\0").slice(0, -1);
    const sorted = decoded.map(toEntry).sort((a, b) => (a.below < b.below ? -1 : 1));
    return { base: belowRoot(here), found: sorted };
  };

  return {
    async list(asked = "") {
      const { base, found } = await readEntries(asked, "-maxdepth 1");
      return found.map((entry) => toFileEntry(entry, base));
    },

    async glob(pattern, { cwd = "", directories = false, maxResults = defaultMaxResults } = {}) {
      const glob = parseGlob(pattern, { dot: false });
      // Hidden directories, which hold so much, are only gone into for a pattern that names a dot.
      const namesDot = /(^|[/{,])\\?\./.test(pattern);
      const tests = [namesDot ? "" : "-name '.?*' -prune -o", directories ? "" : "! -type d"].join(" ");
      const { base, found } = await readEntries(cwd, tests);
      const matching = found.filter(({ below }) => glob.matches(below)).slice(0, maxResults);
      return matching.map((entry) => toFileEntry(entry, base));
    },

    async grep(text, { path: asked = "", glob, maxMatches = defaultMaxResults } = {}) {
      if (text === "") throw new SandboxError("invalid-argument", "Expected a text to search for, got an empty one.");
      const wanted = fileFilter(glob);
      const impossible = text.includes("\n") || text.includes("\0");
      const [printed = ""] = await run(
        [{ asked, path: toPath(asked), code: grepCode(impossible ? "" : text, maxMatches + 1) }],
        {
          what: "search files",
          seconds: searchSeconds,
        },
      );
      if (impossible) return { matches: [], truncated: false };
      const [kind = "", here = "", found = ""] = printed.split("\n");
      const base = belowRoot(here);
      const bytes = Buffer.from(found, "base64");
      const matches: GrepMatch[] = [];
      for (const { below, line, content } of parseMatches(bytes)) {
        const isFile = kind === "file";
        if (!wanted(isFile ? base.slice(base.lastIndexOf("/") + 1) : below)) continue;
        const path = isFile ? base : joinPath(base, below);
        matches.push({ path, line, text: excerpt(content.replace(/\r$/, ""), text) });
      }
      matches.sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1));
      const truncated = matches.length > maxMatches || bytes.length === mostFoundBytes;
      return { matches: matches.slice(0, maxMatches), truncated };
    },
  };
}

interface Entry {
  readonly type: string;
  readonly size: number;
  readonly modifiedAt: Date;
  readonly below: string;
}

function toEntry(printed: string): Entry {
  const [type = "", size = "", time = "", ...below] = printed.split("/");
  return { type, size: Number(size), modifiedAt: new Date(Number(time) * 1000), below: below.join("/") };
}

const types: Readonly<Record<string, FileEntry["type"]>> = { f: "file", d: "directory", l: "symlink" };

function toFileEntry({ type: letter, size, modifiedAt, below }: Entry, base: string): FileEntry {
  const type = types[letter] ?? "other";
  return { path: joinPath(base, below), type, size: type === "file" ? size : 0, modifiedAt };
}

/** `-Z`: the name ends with a NUL, then come the line's number, a colon and the line. */
function* parseMatches(bytes: Buffer): Generator<{ below: string; line: number; content: string }> {
  for (let at = 0; at < bytes.length;) {
    const nameEnd = bytes.indexOf(0, at);
    const colon = nameEnd === -1 ? -1 : bytes.indexOf(0x3a, nameEnd);
    if (colon === -1) return;
    const lineBreak = bytes.indexOf(0x0a, colon);
    const end = lineBreak === -1 ? bytes.length : lineBreak;
    yield {
      below: bytes.toString("utf8", at, nameEnd).replace(/^\.\//, ""),
      line: Number(bytes.toString("utf8", nameEnd + 1, colon)),
      content: bytes.toString("utf8", colon + 1, end),
    };
    at = end + 1;
  }
}

/** Binary files are passed over, and what is no file. `LC_ALL=C` has no text that it takes for binary. */
function grepCode(text: string, mostPerFile: number): string {
  const search = `grep -I -F -n -H -Z -m ${mostPerFile} -D skip -e ${quote(text)}`;
  const print = (grep: string): string => `${grep} 2>/dev/null | head -c ${mostFoundBytes} | base64 -w 0; echo`;
  const nothing = text === "";
  return `
[ "$name" = . ] || { [ -d "./$name" ] && [ ! -L "./$name" ]; } || follow
if [ "$name" = . ] || [ -d "./$name" ]; then
  if [ "$name" != . ]; then cd -P -- "./$name" 2>/dev/null || why_not "./$name"; inside; fi
  echo directory; printf %s "$here" | base64 -w 0; echo
  ${nothing ? "" : print(`${search} -r .`)}
else
  [ -e "./$name" ] || fail ENOENT
  if [ -f "./$name" ] && command exec 3<"./$name"; then
    here=$(readlink /proc/self/fd/3)
    case $here in "$root"/*) ;; *) fail ELOOP ;; esac
    echo file; printf %s "$here" | base64 -w 0; echo
    ${nothing ? ":" : print(`${search} --label=. - <&3`)}
  fi
fi`;
}
