import { ClientError, type ResourceClients } from "@stigmer/client";
import type { Sandbox } from "@stigmer/sandbox";
import { createSkillWriter, parseSkill, promptSection, SkillError, type Skill } from "@stigmer/skills";
import type { SkillInUse } from "@stigmer/status";
import type { ReferencedSkill } from "./resolve-skills.ts";
import { RunError } from "./run-error.ts";
import type { Workspace } from "./session-workspaces.ts";

export interface WriteSkillsRequest {
  readonly clients: Pick<ResourceClients, "skills">;
  readonly sandbox: Sandbox;
  readonly directory: Workspace["skillsDirectory"];
  /** Nothing has been written there by anybody. */
  readonly isNew: boolean;
  readonly sessionId: string;
  readonly skills: readonly ReferencedSkill[];
}

/** The skills of a run, where it can read them. */
export interface WrittenSkills {
  /** What the prompt of a sub-agent, or with `""` of the agent itself, says about its skills. */
  sectionOf(subAgent: string): string;
  /** What the status tells. */
  readonly inUse: readonly SkillInUse[];
  /**
   * Resolves when the directory has these skills and none that the session had before: the agent must not begin earlier. Rejects
   * as the writing does.
   */
  readonly settled: Promise<unknown>;
}

export type WriteSkills = (request: WriteSkillsRequest) => Promise<WrittenSkills>;

// A hundred megabytes take their time.
const ARTIFACT_TIMEOUT_MS = 300_000;

/**
 * Makes what puts skills into workspaces: one run after another where several share one. Without any skills nobody waits for the look
 * at what earlier runs left.
 */
export function createWriteSkills(): WriteSkills {
  const turns = new Map<string, Promise<unknown>>();

  async function inTurn(request: WriteSkillsRequest): Promise<Skills> {
    const { id } = request.sandbox;
    const turn = (turns.get(id) ?? Promise.resolve()).then(() => writeSkills(request));
    const settled = turn.catch(() => {});
    turns.set(id, settled);
    try {
      return await turn;
    } finally {
      if (turns.get(id) === settled) turns.delete(id);
    }
  }

  return async (request) => {
    if (request.skills.length > 0) return { ...(await inTurn(request)), settled: Promise.resolve() };
    return { sectionOf: () => "", inUse: [], settled: request.isNew ? Promise.resolve() : inTurn(request) };
  };
}

type Skills = Omit<WrittenSkills, "settled">;

async function writeSkills(request: WriteSkillsRequest): Promise<Skills> {
  const { clients, sandbox, directory, sessionId } = request;
  const skills = request.skills.map((each) => ({ ...each, ...toSkill(each, clients) }));
  const byName = refuseTwoOfOneName(skills);
  const writer = createSkillWriter({ sandbox, directory, user: sessionId });
  const paths = await writer
    .write([...byName.values()].map(({ toWrite }) => toWrite))
    .catch((error: unknown) => Promise.reject(toRunError(error, skills)));
  const pathOf = (name: string): string => paths.get(byName.get(name)?.toWrite.id ?? "") ?? "";
  // Asked for twice is had once.
  const all = [...new Map(skills.map((each) => [`${each.subAgent}/${each.toWrite.name}`, each])).values()];
  return {
    sectionOf: (subAgent) =>
      promptSection(
        all
          .filter((each) => each.subAgent === subAgent)
          .map(({ toWrite: { name, description } }) => ({ name, description, path: pathOf(name) })),
      ),
    inUse: all.map(({ toWrite: { name }, versionHash, subAgent }) => ({
      name,
      versionHash,
      path: pathOf(name),
      subAgent,
    })),
  };
}

interface NamedSkill extends ReferencedSkill {
  readonly toWrite: Skill;
  readonly versionHash: string;
}

function toSkill(
  { skill, reference }: ReferencedSkill,
  { skills }: Pick<ResourceClients, "skills">,
): Pick<NamedSkill, "toWrite" | "versionHash"> {
  const { versionHash = "", artifactStorageKey = "" } = skill.status ?? {};
  try {
    const { frontmatter, body } = parseSkill(skill.spec?.skillMd ?? "");
    const { name, description } = frontmatter;
    const archive = async (): Promise<Uint8Array | undefined> => {
      try {
        return await skills.getArtifact(artifactStorageKey, { timeoutMs: ARTIFACT_TIMEOUT_MS });
      } catch (error) {
        // Servers that keep no archives have the Markdown, which is most of a skill.
        if (ClientError.is(error) && error.code === "unimplemented") return undefined;
        if (ClientError.is(error) && error.code === "unavailable") throw error;
        throw new RunError(`${reference}: ${(error as Error).message}`, { cause: error });
      }
    };
    const toWrite = { id: skill.metadata?.id ?? "", name, description, body, version: versionHash || undefined };
    return { toWrite: artifactStorageKey === "" ? toWrite : { ...toWrite, archive }, versionHash };
  } catch (cause) {
    throw new RunError(`${reference}: ${(cause as Error).message}`, { cause });
  }
}

/** One folder holds the skills of the agent, the session and the sub-agents: a name stands for one skill in one version. */
function refuseTwoOfOneName(skills: readonly NamedSkill[]): Map<string, NamedSkill> {
  const byName = new Map<string, NamedSkill>();
  for (const skill of skills) {
    const { name, version, body } = skill.toWrite;
    const before = byName.get(name);
    if (before === undefined) byName.set(name, skill);
    else if (before.toWrite.version !== version || (version === undefined && before.toWrite.body !== body))
      throw new RunError(
        `two skills are called "${name}": ${before.reference} and ${skill.reference} are not the same version. Keep one of them.`,
      );
  }
  return byName;
}

/** A server that is away is no fault of the run: the engine tries again. */
function toRunError(error: unknown, skills: readonly NamedSkill[]): unknown {
  if (!SkillError.is(error)) return error;
  if (ClientError.is(error.cause) || RunError.is(error.cause)) return error.cause;
  const about = skills.find(({ toWrite }) => toWrite.id === error.skillId);
  return about ? new RunError(`${about.reference}: ${error.message}`, { cause: error }) : error;
}
