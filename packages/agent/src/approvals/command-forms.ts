import { readShellLine, type SimpleCommand, UNKNOWN } from "./shell-line.ts";

/** One command of a line, in the ways in which rules may mean it. */
export interface RunCommand {
  /** As it stands there, `sudo` and variables included: what a rule that allows it has to say. */
  readonly whole: string;
  /** Also what it runs by itself, such as `rm` in `xargs rm`: what a rule that asks or refuses may say. */
  readonly forms: readonly string[];
  /** What it runs depends on more than the line, as of `sh` behind a pipe. */
  readonly opaque: boolean;
  readonly writes: boolean;
  /** It only runs commands that are listed by themselves, as `sh -c` does: a rule that allows those need not name it. */
  readonly transparent: boolean;
}

export type CommandLine =
  | { readonly kind: "commands"; readonly commands: readonly RunCommand[] }
  | { readonly kind: "unclear" };

/** Programs that run the rest of their words, with those of their options that take a value. */
const runners: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    sudo: "-u -g -h -p -C -T -U -r -t --user --group",
    doas: "-u -C",
    env: "-u -C --unset --chdir",
    xargs: "-I -n -P -L -d -s -a -E --max-args --max-procs --delimiter",
    nice: "-n",
    ionice: "-c -n -p",
    timeout: "-s -k --signal --kill-after",
    stdbuf: "-i -o -e",
    strace: "-e -o -p -s",
    watch: "-n --interval",
    nohup: "",
    setsid: "",
    exec: "-a",
    command: "",
    builtin: "",
    time: "-f -o",
    caffeinate: "-t -w",
    chroot: "",
    busybox: "",
  }).map(([program, options]): [string, ReadonlySet<string>] => [program, new Set(options.split(" "))]),
);

/** Those of them that change nothing about what runs: looked behind by rules that allow, too. */
const plain: ReadonlySet<string> = new Set([
  "nohup",
  "nice",
  "ionice",
  "timeout",
  "stdbuf",
  "setsid",
  "time",
  "caffeinate",
]);

const shells: ReadonlySet<string> = new Set(["sh", "bash", "zsh", "dash", "ksh", "ash", "fish"]);

/** Variables that change how a program behaves in no dangerous way: a rule that allows need not name them. */
const harmless = /^(?:CI|DEBUG|LANG|LC_[A-Z]+|TZ|TERM|COLUMNS|NO_COLOR|FORCE_COLOR|NODE_ENV|PORT|HOST)\+?=/;

const deepest = 5;

/** The commands that a line runs. */
export function commandsOf(line: string): CommandLine {
  const read = readShellLine(line);
  if (read.kind === "unclear") return read;
  const all: RunCommand[] = [];
  for (const command of read.commands) if (!unfold(command, all, 0)) return { kind: "unclear" };
  return { kind: "commands", commands: all };
}

/** Adds the command, and those that it runs from text of this line. False when that can't be told. */
function unfold(command: SimpleCommand, into: RunCommand[], depth: number): boolean {
  if (depth > deepest) return false;
  const forms = new Set<string>();
  const { writes } = command;
  let words = command.words;
  let whole = [...command.variables.filter((each) => !harmless.test(each)), ...words].join(" ");
  let opaque = false;
  for (;;) {
    forms.add(words.join(" "));
    const [first, ...rest] = words;
    if (first === undefined) break;
    const program = basename(first);
    if (program !== first) forms.add([program, ...rest].join(" "));
    const options = runners.get(program);
    if (options === undefined || rest.length === 0) break;
    // What `xargs` reads stands behind the words.
    const inner = [...behind(program, rest, options), ...(program === "xargs" ? [UNKNOWN] : [])];
    if (plain.has(program) && whole.endsWith(words.join(" "))) {
      whole = [whole.slice(0, whole.length - words.join(" ").length).trimEnd(), ...inner]
        .filter((each) => each !== "")
        .join(" ");
    }
    words = inner;
  }
  const [first = "", ...rest] = words;
  const program = basename(first);
  if (shells.has(program)) {
    const flag = rest.findIndex((word) => /^-[a-z]*c$/.test(word));
    const script = rest[flag + 1];
    if (flag >= 0)
      return script !== undefined && unfoldScript(script, words === command.words, { command, into, depth });
    // A script from its input, or from nowhere.
    opaque = rest.every((word) => word.startsWith("-"));
  } else if (program === "eval") {
    return unfoldScript(rest.join(" "), true, { command, into, depth });
  } else if (program === "source" || program === ".") {
    opaque = true;
  } else if (program === "find" || program === "fd") {
    for (const [at, word] of rest.entries()) {
      if (!/^-(?:exec|execdir|ok|okdir)$/.test(word)) continue;
      const nested = rest.slice(at + 1);
      const end = nested.findIndex((each) => each === ";" || each === "+");
      const simple = { ...command, variables: [], words: end < 0 ? nested : nested.slice(0, end) };
      if (!unfold(simple, into, depth + 1)) return false;
    }
  }
  into.push({ whole, forms: [...forms], opaque, writes, transparent: false });
  return true;
}

/** What a shell is given as text. */
function unfoldScript(
  script: string,
  alone: boolean,
  { command, into, depth }: { readonly command: SimpleCommand; readonly into: RunCommand[]; readonly depth: number },
): boolean {
  if (script.includes(UNKNOWN)) return false;
  const read = readShellLine(script);
  if (read.kind === "unclear") return false;
  const { variables, words, writes } = command;
  const transparent = alone && variables.every((each) => harmless.test(each)) && !writes;
  const whole = [...variables, ...words].join(" ");
  into.push({ whole, forms: [words.join(" ")], opaque: false, writes, transparent });
  return read.commands.every((each) => unfold(each, into, depth + 1));
}

/** The words that a runner runs. */
function behind(program: string, words: readonly string[], withValue: ReadonlySet<string>): readonly string[] {
  let at = 0;
  for (let word = words[at]; word !== undefined; word = words[at]) {
    if (word === "--") {
      at += 1;
      break;
    }
    if (word.startsWith("-")) at += withValue.has(word) ? 2 : 1;
    else if ((program === "env" || program === "sudo") && /^[A-Za-z_]\w*=/.test(word)) at += 1;
    else break;
  }
  const rest = words.slice(at);
  return program === "timeout" || program === "chroot" ? rest.slice(1) : rest;
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}
