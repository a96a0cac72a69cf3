import type { Command as Program, Option } from "commander";
import type { CommandIo } from "../../command-io.ts";
import { plainText } from "../../output/plain-text.ts";
import { helpTopics } from "../../program-help.ts";
import { type Candidate, type Candidates, candidatesFor } from "./candidates.ts";

export interface CompleteOptions {
  readonly program: Program;
  /** What is typed behind `stigmer`; the last is what is to be completed, empty after a space. */
  readonly words: readonly string[];
}

/**
 * Prints what the last word may become, `word<tab>description` a line, and last what a shell adds by itself: `:files`,
 * `:folders` or `:none`. Where nothing is known it prints nothing more, and never an error: a prompt is no place for one.
 */
export async function complete({ program, words }: CompleteOptions, io: CommandIo): Promise<void> {
  const { words: own, isSplit } = joinValues(words);
  const { values, more } = await answer(program, own, io).catch((): Candidates => ({ values: [], more: "none" }));
  const typed = own.at(-1) ?? "";
  for (const { value, description = "" } of values) {
    if (!value.startsWith(typed)) continue;
    const shown = isSplit ? value.slice(value.indexOf("=") + 1) : value;
    io.stdout.write(`${plainText(shown)}\t${plainText(description).replace(/\s+/g, " ").trim()}\n`);
  }
  io.stdout.write(`:${more}\n`);
}

/** Bash gives `--output=js` as three words. Of those it replaces the last alone. */
function joinValues(words: readonly string[]): { words: string[]; isSplit: boolean } {
  const joined: string[] = [];
  let isSplit = false;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    if (word === "=" && joined.at(-1)?.startsWith("--")) {
      at += 1;
      joined.push(`${joined.pop()}=${words[at] ?? ""}`);
      isSplit = at >= words.length - 1;
    } else joined.push(word);
  }
  return { words: joined, isSplit };
}

async function answer(program: Program, words: readonly string[], io: CommandIo): Promise<Candidates> {
  const typed = words.at(-1) ?? "";
  const { command, positionals, open, isLiteral } = readLine(program, words.slice(0, -1));
  if (open !== undefined) return valuesOf(open, io);
  if (!isLiteral && typed.startsWith("-")) {
    const [flag = ""] = typed.split("=", 1);
    const option = typed.includes("=") ? findOption(command, flag) : undefined;
    if (option === undefined) return { values: flagsOf(command), more: "none" };
    const { values, more } = await valuesOf(option, io);
    return { values: values.map((each) => ({ ...each, value: `${flag}=${each.value}` })), more };
  }
  if (command.name() === "help" && command.parent === program)
    return { values: pagesOf(program, positionals), more: "none" };
  if (command.commands.length > 0 && positionals.length === 0) return { values: commandsOf(command), more: "none" };
  const { registeredArguments: all } = command;
  const argument = all[positionals.length] ?? (all.at(-1)?.variadic ? all.at(-1) : undefined);
  if (argument === undefined) return { values: [], more: "none" };
  if (argument.argChoices !== undefined)
    return { values: argument.argChoices.map((value) => ({ value })), more: "none" };
  return candidatesFor({ name: argument.name(), group: command.parent?.name() ?? "", before: positionals }, io);
}

interface Line {
  readonly command: Program;
  /** What was given to that command, without flags. */
  readonly positionals: readonly string[];
  /** An option that waits for its value. */
  readonly open?: Option;
  /** Behind `--`, where nothing is a flag. */
  readonly isLiteral: boolean;
}

/** Reads a line as commander will, as far as it is there. */
function readLine(program: Program, words: readonly string[]): Line {
  let command = program;
  let open: Option | undefined;
  let isLiteral = false;
  const positionals: string[] = [];
  for (const word of words) {
    if (open !== undefined) open = undefined;
    else if (isLiteral) positionals.push(word);
    else if (word === "--") isLiteral = true;
    else if (word.startsWith("-")) {
      const option = word.includes("=") ? undefined : findOption(command, word);
      if (option?.required) open = option;
    } else {
      const children = positionals.length === 0 ? command.createHelp().visibleCommands(command) : [];
      const child = children.find((each) => each.name() === word);
      if (child === undefined) positionals.push(word);
      else command = child;
    }
  }
  return { command, positionals, isLiteral, ...(open && { open }) };
}

function findOption(command: Program, flag: string): Option | undefined {
  return command.options.find(({ long, short }) => long === flag || short === flag);
}

async function valuesOf(option: Option, io: CommandIo): Promise<Candidates> {
  if (option.argChoices !== undefined) return { values: option.argChoices.map((value) => ({ value })), more: "none" };
  const name = /[<[]([\w-]+)/.exec(option.flags)?.[1] ?? "";
  // `--session <id>`: what it is of says the flag.
  return candidatesFor({ name: name === "id" ? option.name() : name, group: "", before: [] }, io);
}

function flagsOf(command: Program): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, description }) => (long ? [{ value: long, description }] : []));
}

function commandsOf(command: Program): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((child) => ({ value: child.name(), description: child.description() }));
}

function pagesOf(program: Program, words: readonly string[]): Candidate[] {
  let command: Program | undefined = program;
  for (const word of words) command = command?.commands.find((each) => each.name() === word);
  const topics = Object.entries(helpTopics).map(([value, description]) => ({ value, description }));
  return [...(command === undefined ? [] : commandsOf(command)), ...(words.length === 0 ? topics : [])];
}
