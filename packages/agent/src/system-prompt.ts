import type { AgentContext } from "./agent.ts";

/** What a model is told before the conversation: who it is, which skills it has, where it works. Empty parts are left out. */
export function composeSystemPrompt(
  instructions: string,
  skillsSection: string | undefined,
  context: AgentContext,
): string {
  return [instructions, skillsSection ?? "", contextSection(context)]
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .join("\n\n");
}

function contextSection({ organization, workingDirectory, date, notice }: AgentContext): string {
  return [
    "## Context",
    "",
    ...(organization ? [`- Organization: ${organization}`] : []),
    `- Working directory: ${workingDirectory}`,
    `- Date: ${date}`,
    "",
    "Commands start in the working directory. Give file tools paths relative to it, or absolute ones below it.",
    ...(notice ? ["", notice] : []),
  ].join("\n");
}
