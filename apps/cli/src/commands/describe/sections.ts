import type { StigmerClient } from "@stigmer/client";
import type { Agent } from "@stigmer/protos/agent/v1";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { AgentInstance } from "@stigmer/protos/agentinstance/v1";
import type { Environment } from "@stigmer/protos/environment/v1";
import type { McpServer } from "@stigmer/protos/mcpserver/v1";
import type { Session } from "@stigmer/protos/session/v1";
import type { Skill } from "@stigmer/protos/skill/v1";
import { openSkillArchive } from "@stigmer/skills";
import { showBytes } from "../../output/bytes.ts";
import { createdAt, showAge } from "../../output/show-resources.ts";
import type { Resource } from "../../resources/kinds.ts";
import { showSandboxType } from "../../resources/sandbox-type.ts";
import { agentSections } from "./agent.ts";
import { MOST_SHOWN, runsSection, showReference, variablesSection } from "./common.ts";
import { executionSections } from "./execution.ts";
import { beginning, type Section } from "./layout.ts";

export interface Surroundings {
  readonly client: StigmerClient;
  /** Milliseconds since 1970, to tell ages from. */
  readonly now: number;
}

/** What is special about a resource, with what belongs to it. */
export async function sectionsOf(resource: Resource, around: Surroundings): Promise<readonly Section[]> {
  const { kind } = resource as Resource & { kind: string };
  switch (kind) {
    case "Agent":
      return agentSections(resource as Agent, around);
    case "AgentInstance":
      return instanceSections(resource as AgentInstance, around);
    case "Session":
      return sessionSections(resource as Session, around);
    case "AgentExecution":
      return executionSections(resource as AgentExecution);
    case "Skill":
      return skillSections(resource as Skill, around);
    case "Environment": {
      const { spec } = resource as Environment;
      return [{ fields: { Description: spec?.description ?? "" } }, variablesSection(spec)];
    }
    case "McpServer":
      return serverSections(resource as McpServer);
    default:
      return [];
  }
}

async function instanceSections({ metadata, spec }: AgentInstance, { client, now }: Surroundings): Promise<Section[]> {
  const id = metadata?.id ?? "";
  const agentId = spec?.agentId ?? "";
  const agent = await client.agents.get(agentId);
  const { items } = await client.sessions.listByAgent(agentId, { pageSize: 100 });
  const sessions = items.filter((session) => session.spec?.agentInstanceId === id);
  return [
    {
      fields: {
        Description: spec?.description ?? "",
        Agent: `${agent.metadata?.slug} (${agentId})`,
        Environments: spec?.environmentRefs.map(showReference).join(", ") ?? "",
      },
    },
    {
      title: "Latest sessions",
      head: ["ID", "AGE", "SUBJECT"],
      rows: sessions
        .slice(0, MOST_SHOWN)
        .map((session) => [session.metadata?.id ?? "", showAge(createdAt(session), now), session.spec?.subject ?? ""]),
    },
  ];
}

async function sessionSections({ metadata, spec }: Session, { client, now }: Surroundings): Promise<Section[]> {
  const instance = await client.agentInstances.get(spec?.agentInstanceId ?? "");
  const agent = await client.agents.get(instance.spec?.agentId ?? "");
  const runs = await client.executions.listBySession(metadata?.id ?? "", { pageSize: MOST_SHOWN });
  return [
    {
      fields: {
        Subject: spec?.subject ?? "",
        Agent: `${agent.metadata?.slug} (${agent.metadata?.id})`,
        Instance: `${instance.metadata?.slug} (${instance.metadata?.id})`,
        Workspace: spec?.workspaceDir ?? "",
        Thread: spec?.threadId ?? "",
        "Sandbox type": showSandboxType(spec?.sandboxType),
        Sandbox: spec?.sandboxId ?? "",
        Skills: spec?.skillRefs.map(showReference).join(", ") ?? "",
        "Approved for the session": String(spec?.approvalRules.length || ""),
      },
    },
    runsSection(runs.items, now),
  ];
}

async function skillSections({ spec, status }: Skill, { client }: Surroundings): Promise<Section[]> {
  const artifact = await client.skills.getArtifact(status?.artifactStorageKey ?? "");
  const { frontmatter, files, body } = await openSkillArchive(artifact);
  return [
    {
      fields: {
        Description: frontmatter.description,
        Version: status?.versionHash ?? "",
        Tag: spec?.tag ?? "",
        License: frontmatter.license ?? "",
        Needs: frontmatter.compatibility ?? "",
        Archive: showBytes(artifact.length),
      },
    },
    {
      title: "Files",
      head: ["PATH", "SIZE"],
      rows: files.map(({ path, size }) => [path, showBytes(size)]),
    },
    { title: "SKILL.md", text: beginning(body) },
  ];
}

function serverSections({ spec }: McpServer): Section[] {
  const { case: type, value } = spec?.serverType ?? {};
  return [
    {
      fields: {
        Description: spec?.description ?? "",
        Type: type ?? "",
        Command: type === "stdio" ? [value?.command, ...(value?.args ?? [])].join(" ") : "",
        URL: type === "http" ? (value?.url ?? "") : "",
        Headers: type === "http" ? Object.keys(value?.headers ?? {}).join(", ") : "",
        Image: type === "docker" ? [value?.image, ...(value?.args ?? [])].join(" ") : "",
        "Tools by default": spec?.defaultEnabledTools.join(", ") ?? "",
      },
    },
    variablesSection(spec?.envSpec),
  ];
}
