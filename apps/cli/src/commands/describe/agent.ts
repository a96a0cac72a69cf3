import {
  type Agent,
  ApprovalAction,
  type ApprovalPolicy,
  type RunLimits,
  RunLimitsSchema,
  ToolRisk,
} from "@stigmer/protos/agent/v1";
import { oneLine } from "../../output/plain-text.ts";
import { MOST_SHOWN, runsSection, showReference, variablesSection } from "./common.ts";
import { beginning, type Section } from "./layout.ts";
import type { Surroundings } from "./sections.ts";

export async function agentSections(
  { metadata, spec, status }: Agent,
  { client, now }: Surroundings,
): Promise<Section[]> {
  const id = metadata?.id ?? "";
  const runs = await client.executions.list({ agentId: id, pageSize: MOST_SHOWN });
  const instances = await client.agentInstances.listByAgent(id, { pageSize: MOST_SHOWN });
  return [
    {
      fields: {
        Description: spec?.description ?? "",
        Model: spec?.modelName || "the runner's default",
        Tools: spec?.tools.join(", ") || "all",
        "Not these tools": spec?.disallowedTools.join(", ") ?? "",
        Skills: spec?.skillRefs.map(showReference).join(", ") ?? "",
        Limits: showLimits(spec?.limits),
      },
    },
    { title: "Instructions", text: beginning(spec?.instructions ?? "") },
    serversSection(spec),
    {
      title: "Sub-agents",
      head: ["NAME", "MODEL", "TOOLS", "DESCRIPTION"],
      rows:
        spec?.subAgents.map((sub) => [
          sub.name,
          sub.modelName,
          oneLine(sub.tools.join(", "), 40),
          oneLine(sub.description, 60),
        ]) ?? [],
    },
    policySection(spec?.approvalPolicy),
    variablesSection(spec?.envSpec),
    {
      title: "Instances",
      head: ["NAME", "ID", "ENVIRONMENTS"],
      rows: instances.items.map((instance) => [
        `${instance.metadata?.slug}${instance.metadata?.id === status?.defaultInstanceId ? " (default)" : ""}`,
        instance.metadata?.id ?? "",
        instance.spec?.environmentRefs.map(showReference).join(", ") ?? "",
      ]),
    },
    runsSection(runs.items, now),
  ];
}

/** Those that the agent defines, and those that it refers to. */
function serversSection(spec: Agent["spec"]): Section {
  const own = (spec?.mcpServers ?? []).map(({ name, serverType: { case: type, value }, enabledTools }) => [
    name,
    type ?? "",
    type === "http" ? value.url : type === "stdio" ? [value.command, ...value.args].join(" ") : (value?.image ?? ""),
    enabledTools.join(", ") || "all",
  ]);
  const referred = (spec?.mcpServerRefs ?? []).map(({ name, ref, enabledTools }) => [
    name || (ref?.slug ?? ""),
    "mcpserver",
    ref === undefined ? "" : showReference(ref),
    enabledTools.join(", ") || "its default",
  ]);
  return { title: "MCP servers", head: ["NAME", "TYPE", "WHERE", "TOOLS"], rows: [...own, ...referred] };
}

function policySection(policy: ApprovalPolicy | undefined): Section {
  const action = (value: ApprovalAction): string =>
    (ApprovalAction[value] ?? "").replace(/^APPROVAL_ACTION_/, "").toLowerCase();
  const risk = (value: ToolRisk): string => (ToolRisk[value] ?? "").replace(/^TOOL_RISK_/, "").toLowerCase();
  const rules = (policy?.rules ?? []).map((rule) => [
    action(rule.action),
    [...rule.tools, ...rule.commands.map((command) => JSON.stringify(command)), ...rule.risks.map(risk)].join(", "),
    rule.reason,
  ]);
  const otherwise = policy?.otherwise ? [[action(policy.otherwise), "everything else", ""]] : [];
  return { title: "Approvals", head: ["ACTION", "CALLS", "REASON"], rows: [...rules, ...otherwise] };
}

/** `maxToolCalls 50, maxCostUsd 1`. */
function showLimits(limits: RunLimits | undefined): string {
  if (limits === undefined) return "";
  return RunLimitsSchema.fields
    .map(({ localName }) => [localName, (limits as unknown as Record<string, number>)[localName]] as const)
    .filter(([, value]) => Boolean(value))
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
