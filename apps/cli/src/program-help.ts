// What help has beside the declarations of commands: groups, examples, topics, and what every command takes.
import { type Command as Program, Option } from "commander";
import type { Run } from "./program-options.ts";

const groups: Readonly<Record<string, readonly string[]>> = {
  "Start here:": ["demo", "local", "new", "apply", "run"],
  "Agents at work:": ["agent", "chat", "session", "execution"],
  "Resources:": ["get", "list", "describe", "edit", "delete", "diff", "validate", "skill", "config", "model"],
  "Operation:": ["server", "key", "audit", "chaos", "doctor"],
  "Help:": ["help", "completion", "version"],
};
const OTHERS = "Other commands:";

/** By the words that name a command. Each is tried by a test: what it names has to be there. */
const examples: Readonly<Record<string, readonly string[]>> = {
  stigmer: [
    "stigmer demo",
    "stigmer local start",
    "stigmer apply -f agent.yaml",
    'stigmer run my-agent "Fix the failing test." --workspace .',
  ],
  apply: [
    "stigmer apply -f agents/",
    "stigmer apply -f agent.yaml -f skill.yaml",
    "cat agent.yaml | stigmer apply -f -",
  ],
  run: [
    'stigmer run my-agent "Fix the failing test." --workspace .',
    'stigmer run my-agent "And now the other one." --session ses-01h…',
    'stigmer run my-agent "Deploy it." --secret DEPLOY_TOKEN --limit maxToolCalls=20',
    'stigmer run my-agent "Summarise README.md." --json | tail -1',
  ],
  chat: ["stigmer chat my-agent", "stigmer chat --session ses-01h…"],
  "session show": ["stigmer session show ses-01h…"],
  "session continue": ['stigmer session continue ses-01h… "And now the other one."'],
  "execution logs": ["stigmer execution logs aex-01h… --follow"],
  "execution trace": ["stigmer execution trace aex-01h…", "stigmer execution trace aex-01h… -o json"],
  "model test": ["stigmer model test"],
  "config set": ["stigmer config set llm.model claude-sonnet-4-5"],
  "config key set": ["stigmer config key set anthropic", "stigmer config key set openai < key.txt"],
  diff: ["stigmer diff -f agents/"],
  validate: ["stigmer validate -f agents/ -o json"],
  get: ["stigmer get agents", "stigmer get agent my-agent -o yaml"],
  list: ["stigmer list executions -o json"],
  delete: ["stigmer delete agent my-agent"],
  "local start": ["stigmer local start", "stigmer local start --port 0 --json", "stigmer local start --runner docker"],
  "local logs": ["stigmer local logs agent-runner --follow"],
  "execution watch": ["stigmer execution watch aex-01h… --json"],
  "execution approve": ["stigmer execution approve aex-01h…", "stigmer execution approve aex-01h… --session"],
  "skill push": ["stigmer skill push word-count --tag stable"],
  "skill show": ["stigmer skill show word-count@stable"],
  "skill pull": ["stigmer skill pull word-count@stable vendor/word-count"],
  "skill lint": ["stigmer skill lint skills --strict"],
  "skill lock": ["stigmer skill lock -f agents", "stigmer skill lock -f agents --frozen"],
  "completion bash": ["stigmer completion bash > ~/.local/share/bash-completion/completions/stigmer"],
  "completion zsh": ["stigmer completion zsh > ~/.zfunc/_stigmer"],
  "completion fish": ["stigmer completion fish > ~/.config/fish/completions/stigmer.fish"],
};

/** What `stigmer help` knows besides commands. */
export const helpTopics: Readonly<Record<string, string>> = {
  "exit-codes": "what the command ends with, for scripts",
  environment: "variables that it reads",
};

/** Completes a declared program. Comes last: it goes through all commands that are there. */
export function addHelp(program: Program, run: Run): void {
  program
    .command("help")
    .description(`show the help of a command, or a topic: ${Object.keys(helpTopics).join(", ")}`)
    .argument("[words...]", "a command, or a topic")
    .action((words: string[]) =>
      run(
        import("./commands/help/help.ts").then((m) => m.help),
        { program, words },
      ),
    );
  for (const command of program.commands) {
    const [heading = OTHERS] = Object.entries(groups).find(([, names]) => names.includes(command.name())) ?? [];
    command.helpGroup(heading);
  }
  // Groups are shown in the order of their first commands.
  const order = [...Object.values(groups).slice(0, -1).flat(), OTHERS, ...(groups["Help:"] ?? [])];
  const rank = (command: Program): number => order.indexOf(order.includes(command.name()) ? command.name() : OTHERS);
  (program.commands as Program[]).sort((a, b) => rank(a) - rank(b));
  complete(program, "");
  program.addHelpText("after", `\n${showTopics()}`);
}

/** Adds what every command has, below what it says itself. */
function complete(command: Program, path: string): void {
  if (command.name() === "internal") return;
  command.addOption(new Option("--verbose", "when it fails, tell what caused it").helpGroup("Global options:"));
  const lines = examples[path || command.name()];
  if (lines !== undefined) command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  for (const child of command.commands) complete(child, `${path} ${child.name()}`.trim());
}

function showTopics(): string {
  const rows = [["<command>", "what a command takes"], ...Object.entries(helpTopics)];
  return ["Learn more:", ...rows.map(([name = "", text]) => `  stigmer help ${name.padEnd(14)}${text}`)].join("\n");
}
