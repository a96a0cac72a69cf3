import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";

/** What is wrong with what was saved; `line` counts from 1 in what `edit` answered. */
export interface EditProblem {
  readonly line?: number;
  readonly message: string;
}

/** A file that is open in an editor, for its owner's eyes only: secrets may be typed into it. */
export interface EditedFile {
  readonly path: string;
  /** Lets the user edit it. Undefined when it was left as it was given, or emptied. Throws a `CliError` where an editor fails, or the same mistake is saved twice. */
  edit(io: CommandIo): Promise<string | undefined>;
  /** Puts what is wrong at the head of the file, for the next `edit`. */
  complain(problems: readonly EditProblem[]): Promise<void>;
  /** Whether there is something in it that the user would miss. */
  isChanged(): Promise<boolean>;
  remove(): Promise<void>;
}

const ADVICE = `# Save and close to send it. Nothing is sent when nothing is changed, or all of it is deleted.
# A secret that stays ******** stays as it is.
`;

/** What we wrote at the head of a file, wherever the user left it. */
const COMPLAINT = /^# (?:Nothing was sent yet:|  .*|Mend it, .*)\n/gm;

export async function openEditedFile(name: string, given: string): Promise<EditedFile> {
  const directory = await mkdtemp(join(tmpdir(), "stigmer-edit-"));
  const path = join(directory, name);
  await write(path, ADVICE + given);
  let complaint: { readonly about: string; readonly problems: readonly string[] } | undefined;

  return {
    path,
    async edit(io) {
      await runEditor(path, io);
      const text = withoutComplaint(await readFile(path, "utf8"));
      if (text.replace(/^\s*#.*$/gm, "").trim() === "" || text === ADVICE + given) return undefined;
      if (complaint !== undefined && text === complaint.about) {
        throw new CliError("failed", complaint.problems.join("\n"));
      }
      return text;
    },
    async complain(found) {
      const about = withoutComplaint(await readFile(path, "utf8"));
      // The head takes lines of its own, and each problem has one.
      const shift = found.length + 2;
      const problems = found.map(({ line, message }) => {
        const text = message.replace(/\s+/g, " ");
        return line === undefined ? text : `line ${line + shift}: ${text}`;
      });
      complaint = { about, problems };
      const lines = problems.map((problem) => `#   ${problem}\n`).join("");
      await write(path, `# Nothing was sent yet:\n${lines}# Mend it, or save it as it is to give up.\n${about}`);
    },
    isChanged: async () => withoutComplaint(await readFile(path, "utf8").catch(() => "")) !== ADVICE + given,
    remove: () => rm(dirname(path), { recursive: true, force: true }),
  };
}

const write = (path: string, text: string): Promise<void> => writeFile(path, text, { mode: 0o600 });

const withoutComplaint = (text: string): string => text.replaceAll("\r\n", "\n").replace(COMPLAINT, "");

/** The variables hold a command line, as `code --wait`. */
async function runEditor(path: string, { env }: CommandIo): Promise<void> {
  const editor = env["VISUAL"]?.trim() || env["EDITOR"]?.trim() || "vi";
  const child = spawn("sh", ["-c", `${editor} "$1"`, "sh", path], { stdio: "inherit", env });
  const ended = await new Promise<string | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)));
  });
  if (ended === undefined) return;
  const advice = "set VISUAL or EDITOR to an editor that waits until you are done, as `code --wait`";
  throw new CliError("failed", `The editor (${editor}) ended with ${ended}: ${advice}`);
}
