import { type AgentExecution, MessageType } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { createPaint } from "../../output/colors.ts";
import { renderMarkdown } from "../../output/markdown/render-markdown.ts";
import { plainText } from "../../output/plain-text.ts";
import { showPhase } from "../../resources/kinds.ts";
import { showSandboxType } from "../../resources/sandbox-type.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { agentOfSession } from "./agent-of-session.ts";

/** What was said in a session over its runs: Markdown, rendered on a terminal. */
export async function showSession({ id }: { readonly id: string }, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const { session, agentId } = await agentOfSession(client, id);
    const { metadata } = await client.agents.get(agentId);
    const agent = metadata?.slug ?? agentId;
    const runs: AgentExecution[] = [];
    // They come newest first.
    for await (const run of client.executions.listBySession(id)) runs.unshift(run);
    const title = `# ${session.spec?.subject || id}`;
    const sandbox = showSandboxType(session.spec?.sandboxType);
    const markdown = [
      title,
      ...(sandbox === "" ? [] : [`*sandbox: ${sandbox}*`]),
      ...runs.flatMap((run) => turn(run, agent)),
    ].join("\n\n");
    io.stdout.write(`${present(plainText(markdown), io)}\n`);
    if (runs.length === 0) io.stderr.write(`Nothing was said yet: stigmer session continue ${id} MESSAGE\n`);
  });
}

function turn({ metadata, spec, status }: AgentExecution, agent: string): string[] {
  const calls = status?.toolCalls.length ?? 0;
  const said = status?.messages.filter(
    ({ type, content, subAgentId }) => type === MessageType.MESSAGE_AI && subAgentId === "" && content.trim() !== "",
  );
  const ending = [
    showPhase(status?.phase ?? 0),
    ...(calls === 0 ? [] : [`${calls} tool call${calls === 1 ? "" : "s"}`]),
  ];
  const error = status?.error ? `: ${status.error}` : "";
  return [
    `## You`,
    spec?.message ?? "",
    `## ${agent}`,
    ...(said ?? []).map(({ content }) => content.trim()),
    `*${ending.join(", ")}${error}* (\`${metadata?.id ?? ""}\`)`,
  ];
}

function present(markdown: string, { stdout, env }: CommandIo): string {
  if (stdout.isTTY !== true) return markdown;
  return renderMarkdown(markdown, { width: stdout.columns || 80, paint: createPaint(stdout, env) }).join("\n");
}
