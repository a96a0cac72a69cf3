// MCP servers as the contract describes them, with the run's variables filled in.
import type { McpPort, McpSelection, McpServerConfig, McpVolume } from "@stigmer/agent";
import type { Agent, McpServerDefinition, McpServerReference, SubAgent } from "@stigmer/protos/agent/v1";
import type { McpServer } from "@stigmer/protos/mcpserver/v1";
import { fillPlaceholders, missingVariable } from "./fill-placeholders.ts";
import { mergeEnvironment, type EnvironmentLayer, type MergedEnvironment } from "./merge-environment.ts";
import { RunError } from "./run-error.ts";

export interface McpServersOfRun {
  readonly servers: readonly McpServerConfig[];
  /** Values from the servers' own `env_spec` that must not be shown. */
  readonly secrets: readonly string[];
}

/** The environment's layers, later ones on top. A server's own defaults lie below all of them. */
type Layers = readonly EnvironmentLayer[];

/**
 * The servers of an agent: those it defines itself, then those it refers to, of which `referred` has the resources in the
 * order of the references. Throws `RunError` that names server, field and variable when one can't be described.
 */
export function mcpServersOf(agent: Agent, referred: readonly McpServer[], layers: Layers): McpServersOfRun {
  const environment = mergeEnvironment(layers);
  const secrets: string[] = [];
  const own = (agent.spec?.mcpServers ?? []).map((definition, at) => fromDefinition(definition, at, environment));
  const others = (agent.spec?.mcpServerRefs ?? []).map((reference, at) => {
    const server = referred[at];
    if (server === undefined) throw new RunError(`spec.mcp_server_refs[${at}]: there is no such McpServer`);
    const merged = mergeEnvironment([server.spec?.envSpec?.data ?? {}, ...layers]);
    secrets.push(...merged.secrets);
    return fromResource({ reference, server, at, environment: merged });
  });
  return { servers: [...own, ...others], secrets };
}

/** Throws `RunError` for the first server that would be started beside the runner, with its rights. */
export function refusePrograms(servers: readonly McpServerConfig[]): void {
  const server = servers.find(({ type }) => type !== "http");
  if (server === undefined) return;
  throw new RunError(
    `${server.field}: the MCP server ${server.name} is a ${server.type === "docker" ? "container" : "program"} that would run beside the runner, outside of the sandbox, which this service does not allow: use one over http, or have its operator set STIGMER_CLOUD_MCP_PROGRAMS=allow on the runners`,
  );
}

/** Which of the agent's servers and tools a sub-agent has. */
export function mcpSelectionOf({ mcpServers, mcpToolSelections }: SubAgent, at: number): McpSelection {
  return {
    field: `spec.sub_agents[${at}]`,
    servers: mcpServers,
    tools: Object.fromEntries(
      Object.entries(mcpToolSelections).map(([name, { enabledTools }]) => [name, enabledTools]),
    ),
  };
}

function fromDefinition(definition: McpServerDefinition, at: number, { values }: MergedEnvironment): McpServerConfig {
  const { name, enabledTools, serverType } = definition;
  const field = `spec.mcp_servers[${at}]`;
  const common = { name, field, enabledTools };
  const what = `the MCP server ${name}`;
  const fill = (text: string, part: string): string =>
    fillPlaceholders(text, values, { field: `${field}.${part}`, what });
  const fillAll = (map: Readonly<Record<string, string>>, part: string): Record<string, string> =>
    Object.fromEntries(Object.entries(map).map(([key, text]) => [key, fill(text, `${part}[${key}]`)]));
  switch (serverType.case) {
    case "stdio": {
      const { command, args, workingDir, envPlaceholders } = serverType.value;
      const env = fillAll(envPlaceholders, "stdio.env_placeholders");
      return { ...common, type: "stdio", command, args, env, ...(workingDir !== "" && { cwd: workingDir }) };
    }
    case "http": {
      const { url, headers, queryParams, timeoutSeconds } = serverType.value;
      return {
        ...common,
        type: "http",
        url: fill(url, "http.url"),
        headers: fillAll(headers, "http.headers"),
        query: fillAll(queryParams, "http.query_params"),
        ...(timeoutSeconds > 0 && { timeoutMs: timeoutSeconds * 1000 }),
      };
    }
    case "docker":
      return {
        ...common,
        type: "docker",
        ...containerOf(serverType.value),
        env: fillAll(serverType.value.envPlaceholders, "docker.env_placeholders"),
      };
    case undefined:
      throw new RunError(`${field}: ${what} says neither stdio nor http nor docker, so nobody knows how to reach it`);
  }
}

interface Referred {
  readonly reference: McpServerReference;
  readonly server: McpServer;
  readonly at: number;
  readonly environment: MergedEnvironment;
}

function fromResource({ reference, server, at, environment }: Referred): McpServerConfig {
  const { spec, metadata } = server;
  const slug = metadata?.slug ?? "";
  const name = reference.name || slug;
  const here = `spec.mcp_server_refs[${at}]`;
  // The description is another resource's: its fields are named there.
  const field = `${here}: McpServer ${slug}: spec`;
  const what = `the MCP server ${name}`;
  const isNarrowed = reference.enabledTools.length > 0;
  const common = {
    name,
    field,
    enabledTools: isNarrowed ? reference.enabledTools : (spec?.defaultEnabledTools ?? []),
    enabledToolsField: isNarrowed ? `${here}.enabled_tools` : `${field}.default_enabled_tools`,
  };
  const fillAll = (map: Readonly<Record<string, string>>, part: string): Record<string, string> =>
    Object.fromEntries(
      Object.entries(map).map(([key, text]) => [
        key,
        fillPlaceholders(text, environment.values, { field: `${field}.${part}[${key}]`, what }),
      ]),
    );
  const serverType = spec?.serverType;
  switch (serverType?.case) {
    case "stdio": {
      const { command, args, workingDir } = serverType.value;
      const env = declared();
      return { ...common, type: "stdio", command, args, env, ...(workingDir !== "" && { cwd: workingDir }) };
    }
    case "http": {
      const { url, headers, queryParams, timeoutSeconds } = serverType.value;
      return {
        ...common,
        type: "http",
        url,
        headers: fillAll(headers, "http.headers"),
        query: fillAll(queryParams, "http.query_params"),
        ...(timeoutSeconds > 0 && { timeoutMs: timeoutSeconds * 1000 }),
      };
    }
    case "docker":
      return { ...common, type: "docker", ...containerOf(serverType.value), env: declared() };
    default:
      throw new RunError(`${field}: ${what} says neither stdio nor http nor docker, so nobody knows how to reach it`);
  }

  /** The variables that the server needs, and no others. */
  function declared(): Record<string, string> {
    const names = Object.keys(spec?.envSpec?.data ?? {});
    return Object.fromEntries(
      names.map((variable) => {
        const value = environment.values[variable];
        if (value !== undefined) return [variable, value];
        throw new RunError(missingVariable(variable, { field: `${field}.env_spec.data[${variable}]`, what }));
      }),
    );
  }
}

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly volumes: readonly McpVolume[];
  readonly network: string;
  readonly ports: readonly { readonly hostPort: number; readonly containerPort: number; readonly protocol: string }[];
  readonly containerName: string;
}

function containerOf({ image, args, volumes, network, ports, containerName }: Container) {
  return {
    image,
    args,
    volumes: volumes.map(({ hostPath, containerPath, readOnly = false }) => ({ hostPath, containerPath, readOnly })),
    ports: ports.map(({ hostPort, containerPort, protocol }): McpPort => ({
      hostPort,
      containerPort,
      protocol: protocol === "udp" ? "udp" : "tcp",
    })),
    ...(network !== "" && { network }),
    ...(containerName !== "" && { containerName }),
  };
}
