import { agenticApiVersion, slugify } from "@stigmer/protos";
import { stringify } from "yaml";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { schemaComment } from "../../manifests/schema-url.ts";
import { writeLine } from "../../output/write.ts";
import { writeNewFile } from "./write-new-file.ts";

export interface NewAgentOptions {
  readonly name: string;
  readonly dir?: string;
}

export async function newAgent({ name, dir }: NewAgentOptions, io: CommandIo): Promise<void> {
  const slug = slugify(name);
  if (slug === "") {
    throw new CliError("usage", `No file can be named after ${JSON.stringify(name)}: use letters and digits`);
  }
  const file = await writeNewFile({ dir, path: `${slug}.yaml`, text: agentText(name) }, io);
  writeLine(io.stdout, `${file} is made`);
  writeLine(io.stderr, `Say in it what the agent is to be, then:`);
  writeLine(io.stderr, `  stigmer apply -f ${file}`);
  writeLine(io.stderr, `  stigmer run ${slug} "What is in this folder?" --workspace .`);
}

function agentText(name: string): string {
  return `${schemaComment("Agent")}
apiVersion: ${agenticApiVersion}
kind: Agent
metadata:
  name: ${stringify(name).trimEnd()}
spec:
  # For people who choose among agents.
  description: Answers questions about the files in the working directory.
  # The system prompt: what the agent is, how it works, what it must not do.
  instructions: |
    You answer questions about the files in the working directory. Look before you answer, and name the
    files that your answer comes from. Change nothing unless you are asked to.
  # The model to use; a run may name another. Default: the one that \`stigmer local start\` was given.
  # modelName: claude-sonnet-4-5
  # The only tools that it has (default: all), and what a person has to allow.
  # tools: [ls, read_file, grep, execute]
  # approvalPolicy:
  #   rules: [{ tools: [execute], action: APPROVAL_ACTION_ASK, reason: It runs commands. }]
  # Skills that it is given: make one by \`stigmer new skill\`.
  # skillRefs: [{ kind: skill, slug: my-skill }]
  # Where a run ends that uses too much.
  # limits: { maxToolCalls: 50, maxCostUsd: 1 }
`;
}
