// What an argument or an option may be, told from what its declaration calls it.
import type { StigmerClient } from "@stigmer/client";
import type { CommandIo } from "../../command-io.ts";

export interface Candidate {
  readonly value: string;
  readonly description?: string;
}

export interface Candidates {
  readonly values: readonly Candidate[];
  /** What a shell knows better. */
  readonly more: "files" | "folders" | "none";
}

export interface Place {
  /** As declared: `agent` of `<agent>`. */
  readonly name: string;
  /** The command's group, such as `execution`. */
  readonly group: string;
  /** The arguments before it. */
  readonly before: readonly string[];
}

/** A prompt waits no longer for a server. */
const PATIENCE_MS = 500;
const MOST = 100;

const FILES = new Set(["file", "path", "files", "paths"]);
const FOLDERS = new Set(["dir", "folder", "folders", "workspace"]);

const none: Candidates = { values: [], more: "none" };

/** Answers what can stand there. What a server would know is left out when it is away. */
export async function candidatesFor({ name, group, before }: Place, io: CommandIo): Promise<Candidates> {
  if (FILES.has(name)) return { values: [], more: "files" };
  if (FOLDERS.has(name)) return { values: [], more: "folders" };
  if (name === "component") return values(["stigmer-server", "agent-runner", "daemon"]);
  if (name === "kind") return values((await import("../../resources/kinds.ts")).kindNames);
  if (name === "key" && group === "config")
    return values((await import("@stigmer/config")).configSettings.map(({ key }) => key));
  const [kind = ""] = before;
  if (name === "name" || name === "names") return kind === "" ? none : { values: await ask(kind, io), more: "none" };
  // Of `chaos run`, manifests do as well.
  if (name === "agent") return { values: await ask("agent", io), more: group === "chaos" ? "files" : "none" };
  if (name === "skill" || name === "session") return { values: await ask(name, io), more: "none" };
  if (name === "id" && (group === "execution" || group === "session"))
    return { values: await ask(group, io), more: "none" };
  return none;
}

function values(all: readonly string[]): Candidates {
  return { values: all.map((value) => ({ value })), more: "none" };
}

/** The newest resources of a kind, by what people call them; none when the server is away, slow, or refuses. */
async function ask(kindName: string, io: CommandIo): Promise<Candidate[]> {
  const [{ findKind }, { withClient }] = await Promise.all([
    import("../../resources/kinds.ts"),
    import("../../server-connection/with-client.ts"),
  ]);
  const kind = findKind(kindName);
  const list = async ({ client }: { client: StigmerClient }): Promise<Candidate[]> => {
    const { items } = await kind.calls(client).list({ pageSize: MOST, pageToken: "", labels: {} });
    return items.map((resource) => ({
      value: (kind.named ? resource.metadata?.slug : resource.metadata?.id) ?? "",
      description: Object.values(kind.columns)
        .map((cell) => cell(resource))
        .filter((text) => text !== "")
        .join(", ")
        .slice(0, 80),
    }));
  };
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<Candidate[]>((resolve) => {
    timer = setTimeout(() => resolve([]), PATIENCE_MS);
  });
  try {
    return await Promise.race([withClient(io, list), patience]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}
