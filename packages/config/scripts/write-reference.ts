import { writeFileSync } from "node:fs";
import { describeFormat } from "../src/formats.ts";
import { type Rule, type Variable, variables } from "../src/variables.ts";

// Writes docs/reference/configuration.md from the table of variables.

export const referenceFile: URL = new URL("../../../docs/reference/configuration.md", import.meta.url);

const intro = `<!-- Written by packages/config/scripts/write-reference.ts from packages/config/src/variables/. Change the tables, not this file. -->

# Configuration

Every process reads its configuration once, from its environment, and checks all of it before it starts: what is missing or
wrong is said for all variables at once, one per line. An empty value counts as unset.

\`MODE\` decides which column holds. The agent-runner also reads a \`.env\` file, from its working directory or else from beside its
entry point. It never overrides what is set, and is not read with \`ENV=production\`. The \`stigmer\` command reads no \`.env\`.
`;

const outro = `## config.yaml

\`config.yaml\` in \`STIGMER_HOME\` names the default model. \`STIGMER_LLM_*\` variables go before it, the providers' own variables after
it. A key that one provider was given is never sent to another. Keys don't belong in this file. \`stigmer config set llm.model NAME\`
changes it and leaves comments alone; \`stigmer config list\` shows what there is.

\`\`\`yaml
llm:
  provider: anthropic # anthropic, openai or ollama
  model: claude-sonnet-4-5
  # baseUrl: https://proxy.example.com
  # maxTokens: 8192
  # temperature: 0.2
  # prices: # for the estimated cost of runs, before the list prices that are built in
  #   my-model: { input: 1, output: 4, cached_input: 0.1 } # US dollars for a million tokens
\`\`\`

A price is for all models whose names are its own or begin with it: \`gpt-5\` is also that of \`gpt-5-2025-08-07\`, the longest name
wins. Models without a price cost nothing in the estimate. \`cached_input\` and \`cache_write\` default to \`input\`.

Editors check the file by its JSON Schema, \`https://unpkg.com/@stigmer/config/config.schema.json\`, which is \`@stigmer/config/config.schema.json\`.
`;

/** The text of docs/reference/configuration.md. */
export function renderReference(): string {
  const table: Readonly<Record<string, Variable>> = variables;
  const groups = Map.groupBy(Object.entries(table), ([, variable]) => variable.group);
  const sections = [...groups].map(([group, rows]) =>
    [
      `## ${group}`,
      "",
      "| variable | meaning | values | local | cloud | read by |",
      "| --- | --- | --- | --- | --- | --- |",
      ...rows.map(([name, variable]) => row(name, variable)),
      "",
    ].join("\n"),
  );
  return [intro, ...sections, outro].join("\n");
}

function row(name: string, variable: Variable): string {
  const cells = [
    `\`${name}\``,
    variable.meaning + (variable.secret ? " **Secret.**" : ""),
    describeFormat(variable.format),
    ruleText(variable.local),
    ruleText(variable.cloud),
    variable.readers.map((reader) => ({ runner: "runner", server: "server", client: "`stigmer`" })[reader]).join(", "),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function ruleText(rule: Rule): string {
  switch (rule.use) {
    case "default":
      return `\`${rule.value}\`${rule.note === undefined ? "" : ` ${rule.note}`}`;
    case "required":
      return rule.by === undefined ? "**required**" : `**required** by the ${rule.by}`;
    case "optional":
      return `optional; unset: ${rule.unset}`;
    case "ignored":
      return "not used";
  }
}

if (import.meta.main) writeFileSync(referenceFile, renderReference());
