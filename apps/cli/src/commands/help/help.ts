import { variables, type Variable } from "@stigmer/config";
import type { Command as Program } from "commander";
import { closest } from "../../closest.ts";
import type { CommandIo } from "../../command-io.ts";
import { CliError, exitCodeMeanings } from "../../errors.ts";
import { helpTopics } from "../../program-help.ts";

export interface HelpOptions {
  readonly program: Program;
  /** A command, or a topic. */
  readonly words: readonly string[];
}

/** Shows the help of a command, or of a topic. */
export async function help({ program, words }: HelpOptions, io: CommandIo): Promise<void> {
  const [topic = ""] = words;
  if (words.length === 1 && Object.hasOwn(topics, topic)) {
    io.stdout.write(topics[topic as keyof typeof topics]());
    return;
  }
  let command = program;
  for (const word of words) command = findCommand(command, word, command === program);
  command.outputHelp();
}

function findCommand(parent: Program, word: string, isFirst: boolean): Program {
  const found = parent.commands.find((each) => each.name() === word || each.aliases().includes(word));
  if (found !== undefined) return found;
  const names = [...parent.commands.map((each) => each.name()), ...(isFirst ? Object.keys(helpTopics) : [])];
  const near = closest(word, names);
  const advice = near === undefined ? "see `stigmer help`" : `did you mean ${near}?`;
  throw new CliError("usage", `there is no help for '${word}': ${advice}`);
}

const topics = { "exit-codes": exitCodes, environment } as const;

function exitCodes(): string {
  const rows = exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padStart(3)}   ${meaning}`);
  return `What stigmer ends with:\n\n${rows.join("\n")}\n\nA line on stderr says why, and what to do; --verbose adds what caused it.\n`;
}

function environment(): string {
  const table: Readonly<Record<string, Variable>> = variables;
  const own = Object.entries(table).filter(([, { readers }]) => readers.includes("client"));
  const others: [string, { meaning: string }][] = [
    ["NO_COLOR", { meaning: "Set: no colours. FORCE_COLOR=1 asks for them in a pipe too." }],
    ["CI", { meaning: "Set: nothing is drawn to show progress." }],
  ];
  const width = Math.max(...own.map(([name]) => name.length)) + 3;
  const rows = [...own, ...others].map(
    ([name, { meaning }]) => `  ${name.padEnd(width)}${meaning.replaceAll("`", "")}`,
  );
  return `Variables that the stigmer command reads:\n\n${rows.join("\n")}\n\nThose of servers and runners: docs/reference/configuration.md.\n`;
}
