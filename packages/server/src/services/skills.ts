import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { agenticApiVersion, slugify } from "@stigmer/protos";
import { ApiResourceOwnerScope, type ApiResourceReference } from "@stigmer/protos/apiresource";
import {
  type PushSkillRequest,
  PushSkillRequestSchema,
  type Skill,
  SkillCommandController,
  SkillListSchema,
  SkillQueryController,
  SkillSchema,
  SkillState,
  SkillStatusSchema,
  GetArtifactResponseSchema,
} from "@stigmer/protos/skill/v1";
import type { SkillArchive } from "@stigmer/skills";
import type { Principal } from "../interceptors/principal.ts";
import type { Store } from "../store/store.ts";
import type { CallOf } from "./call.ts";
import { invalidField } from "./field-errors.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { metadataOf, notFound, type ResourceDefinition, type Resources, type ResourcesOptions } from "./resources.ts";
import { readSkillArchive } from "./skill-archive.ts";
import { transact } from "./transact.ts";

/** Where lists and prompts find what a skill is for, without its text. */
const DESCRIPTION_ANNOTATION = "stigmer.ai/description";

const LATEST = "latest";

export const skillDefinition: ResourceDefinition<Skill> = {
  kind: "Skill",
  schema: SkillSchema,
  defaultScope: ApiResourceOwnerScope.organization,
  // Clients have no way to give a status: skills come by push alone, which knows the version.
  status: (audit, { status }) => Object.assign(create(SkillStatusSchema), status, { audit }),
};

export interface SkillServiceOptions {
  readonly skills: Resources<Skill>;
  readonly handlers: ResourceHandlers<Skill>;
  readonly store: Store;
  readonly callOf: CallOf;
  readonly onDeleted: ResourcesOptions["onDeleted"];
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

export function registerSkills(router: ConnectRouter, options: SkillServiceOptions): void {
  const { skills, handlers, store, callOf, onDeleted, clock } = options;
  const inTurn = createTurns();

  async function push(request: PushSkillRequest, principal: Principal): Promise<Skill> {
    const archive = await readSkillArchive(request.artifact);
    requireSameName(request.name, archive.frontmatter);
    return inTurn(async () => {
      await store.artifacts.put(archive.hash, request.artifact);
      return transact(store, async (tx) => {
        const tag = request.tag === LATEST ? "" : request.tag;
        const skill = skillOf({ ...request, tag }, archive);
        const current = await skills.find(tx, skill, principal);
        const isNewest = current?.status?.versionHash === archive.hash;
        if (isNewest && (tag === "" || tag === current.spec?.tag)) return current;
        const stored = await skills.putIn(tx, skill, principal);
        const skillId = metadataOf(stored).id;
        const body = toBinary(SkillSchema, stored);
        await tx.skillVersions.put({ skillId, hash: archive.hash, createdAt: clock(), body });
        if (tag !== "") await tx.skillVersions.tag(skillId, tag, archive.hash);
        return stored;
      });
    });
  }

  async function getByReference(reference: ApiResourceReference, principal: Principal): Promise<Skill> {
    const newest = await skills.getByReference(reference, principal);
    if (reference.version === "" || reference.version === LATEST) return newest;
    const isHash = /^[0-9a-f]{64}$/i.test(reference.version);
    const version = isHash ? reference.version.toLowerCase() : reference.version;
    const stored = await store.skillVersions.get(metadataOf(newest).id, version);
    if (!stored) throw notFound("Skill", `${reference.slug} in version ${reference.version}`);
    const skill = fromBinary(SkillSchema, stored.body);
    if (!isHash && skill.spec) skill.spec.tag = version;
    return skill;
  }

  async function remove(id: string, principal: Principal): Promise<Skill> {
    return inTurn(async () => {
      const { skill, unused } = await transact(store, async (tx) => ({
        skill: await skills.deleteIn(tx, id, principal),
        unused: await tx.skillVersions.deleteAll(id),
      }));
      await Promise.all(unused.map((hash) => store.artifacts.delete(hash)));
      await onDeleted({ kind: "Skill", id, isGone: true, principal, reason: "", tasks: [], runs: [] });
      return skill;
    });
  }

  /** The key is the hash of the content, which others may know: only who may read a skill with it gets the content. */
  async function mayRead(key: string, principal: Principal): Promise<boolean> {
    for (const id of await store.skillVersions.skillsOf(key)) {
      try {
        await skills.get(id, principal);
        return true;
      } catch (error) {
        if (ConnectError.from(error).code !== Code.NotFound) throw error;
      }
    }
    return false;
  }

  router.service(SkillCommandController, {
    push: async (request, context) => push(request, (await callOf(context)).principal),
    delete: async ({ value }, context) => remove(value, (await callOf(context)).principal),
  });
  router.service(SkillQueryController, {
    get: handlers.get,
    getByReference: async (reference, context) => getByReference(reference, (await callOf(context)).principal),
    list: async (request, context) =>
      create(SkillListSchema, {
        ...(await handlers.list(request, context)),
        apiVersion: agenticApiVersion,
        kind: "SkillList",
      }),
    getArtifact: async ({ artifactStorageKey: key }, context) => {
      const { principal } = await callOf(context);
      const isKey = /^[0-9a-f]{64}$/.test(key);
      const artifact = isKey && (await mayRead(key, principal)) ? await store.artifacts.get(key) : undefined;
      if (!artifact) throw new ConnectError(`artifact_storage_key: there is no artifact ${key}`, Code.NotFound);
      return create(GetArtifactResponseSchema, { artifact });
    },
  });
}

function skillOf(
  { name, scope, org, tag }: Pick<PushSkillRequest, "name" | "scope" | "org" | "tag">,
  { hash, skillMd, frontmatter: { description } }: Pick<SkillArchive, "hash" | "skillMd" | "frontmatter">,
): Skill {
  return create(SkillSchema, {
    metadata: { name, org, ownerScope: scope, annotations: { [DESCRIPTION_ANNOTATION]: description } },
    spec: { skillMd, tag },
    status: { versionHash: hash, artifactStorageKey: hash, state: SkillState.READY },
  });
}

function requireSameName(pushed: string, { name }: SkillArchive["frontmatter"]): void {
  if (name === pushed || name === slugify(pushed)) return;
  const message = `is "${pushed}", but the frontmatter of SKILL.md says "${name}": make them the same`;
  throw invalidField({ schema: PushSkillRequestSchema, field: "name", message });
}

/** A push must not store a file that a deletion is about to remove. */
function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };
}
