import { writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import type { Command as Program } from "commander";
import type { CommandIo } from "../src/command-io.ts";
import { exitCodeMeanings } from "../src/errors.ts";
import { createProgram } from "../src/program.ts";

// Writes docs/reference/cli.md from the declarations of the commands.

export const referenceFile: URL = new URL("../../../docs/reference/cli.md", import.meta.url);

const intro = `<!-- Written by apps/cli/scripts/write-reference.ts from apps/cli/src/program*.ts. Change the declarations, not this file. -->

# The command line

Results go to stdout, everything else to stderr. \`--verbose\` may stand anywhere on a line. What each command is for, with examples of
its use, stands in the [README](../../apps/cli/README.md) and the [guides](../guides); the variables in [configuration](configuration.md).

| exit code | meaning |
| ---: | --- |
`;

/** The text of docs/reference/cli.md. */
export function renderReference(): string {
  let written = "";
  const stdout = Object.assign(new PassThrough(), {
    write: (text: string): boolean => {
      written += text;
      return true;
    },
  });
  const io: CommandIo = { stdin: stdout, stdout, stderr: stdout, env: {}, cwd: "/", onSignal: () => () => {} };
  const sections: string[] = [];
  const visit = (command: Program, path: string): void => {
    written = "";
    command.outputHelp();
    sections.push(`## ${path}\n\n\`\`\`text\n${written.trimEnd()}\n\`\`\`\n`);
    for (const child of command.commands) if (isShown(command, child)) visit(child, `${path} ${child.name()}`);
  };
  visit(createProgram({ io, onExitCode: () => {} }), "stigmer");
  const codes = exitCodeMeanings.map(([code, meaning]) => `| ${code} | ${meaning} |\n`).join("");
  return `${intro}${codes}\n${sections.join("\n")}`;
}

function isShown(parent: Program, child: Program): boolean {
  return parent.createHelp().visibleCommands(parent).includes(child);
}

if (import.meta.main) writeFileSync(referenceFile, renderReference());
