import { clone, create, fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { kinds, type ResourceKind } from "@stigmer/protos";
import { ApiKeySchema } from "@stigmer/protos/apikey/v1";
import {
  type ApiResourceMetadata,
  ApiResourceMetadataSchema,
  ApiResourceOwnerScope,
  FindApiResourcesRequestSchema,
} from "@stigmer/protos/apiresource";
import {
  type Organization,
  OrganizationCommandController,
  OrganizationListSchema,
  OrganizationQueryController,
  OrganizationSchema,
  OrganizationsSchema,
} from "@stigmer/protos/organization/v1";
import { Role } from "@stigmer/protos/iam/v1";
import { pagesOf } from "../executions/pages-of.ts";
import { LOCAL_OWNER, type Principal } from "../interceptors/principal.ts";
import type { Store, StoreTransaction } from "../store/store.ts";
import { auditStatus } from "./audit-status.ts";
import type { CallOf } from "./call.ts";
import { invalidField } from "./field-errors.ts";
import { unchangeable } from "./metadata.ts";
import { readNumberedPage, rowsOf } from "./numbered-pages.ts";
import { metadataOf, type ResourceDefinition, type Resources } from "./resources.ts";
import { orAfterLostRace, transact } from "./transact.ts";

/** What keeps an organisation from being deleted, beside its runs. Its API keys don't: they go with it. */
const OWNED: readonly ResourceKind[] = [
  "Agent",
  "AgentInstance",
  "Session",
  "Skill",
  "Environment",
  "McpServer",
  "ExecutionContext",
];

/** An organisation's slug is what others carry as `metadata.org`, so it never changes. */
export function organizationDefinition(mode: "local" | "cloud"): ResourceDefinition<Organization> {
  return {
    kind: "Organization",
    schema: OrganizationSchema,
    // Slugs are unique in the whole installation.
    defaultScope: ApiResourceOwnerScope.platform,
    status: auditStatus,
    parentOf: ({ status }) => status?.audit?.specAudit?.createdBy?.id ?? "",
    normalize: (next, previous) => {
      const slug = previous?.metadata?.slug;
      if (slug !== undefined && slug !== next.metadata?.slug) throw unchangeable(OrganizationSchema, "slug", slug);
    },
    beforeDelete: async (tx, organization) => {
      const { slug } = metadataOf(organization);
      if (mode === "local" && slug === LOCAL_OWNER.org) {
        throw new ConnectError(`Organization ${slug} is this machine's own: it stays`, Code.FailedPrecondition);
      }
      await refuseOwner(tx, slug);
      await deleteKeys(tx, slug);
    },
  };
}

async function refuseOwner(tx: StoreTransaction, org: string): Promise<void> {
  const owned: string[] = [];
  for (const kind of OWNED) if ((await tx.resources.count({ kind, org })) > 0) owned.push(kind);
  if ((await tx.executions.count({ org }, 1)) > 0) owned.push("AgentExecution");
  if (owned.length === 0) return;
  const text = `Organization ${org} still owns resources (${owned.join(", ")}): delete those first`;
  throw new ConnectError(text, Code.FailedPrecondition);
}

async function deleteKeys(tx: StoreTransaction, org: string): Promise<void> {
  for await (const keys of pagesOf((page) => tx.resources.list({ kind: "ApiKey", org }, page))) {
    for (const { id, body } of keys) {
      // Runners are the installation's, whatever organisation their key was made in.
      if (fromBinary(ApiKeySchema, body).spec?.role !== Role.RUNNER) await tx.resources.delete("ApiKey", id);
    }
  }
}

export interface OrganizationServicesOptions {
  readonly organizations: Resources<Organization>;
  readonly store: Store;
  readonly mode: "local" | "cloud";
  readonly callOf: CallOf;
}

export function registerOrganizations(router: ConnectRouter, options: OrganizationServicesOptions): void {
  const { organizations, store, mode, callOf } = options;
  let localIsThere: Promise<void> | undefined;

  /** In local mode the organisation of this machine is there whoever looks first. */
  async function ready(): Promise<void> {
    if (mode === "cloud") return;
    localIsThere ??= ensureLocal();
    try {
      await localIsThere;
    } catch (error) {
      localIsThere = undefined;
      throw error;
    }
  }

  async function ensureLocal(): Promise<void> {
    const local = placed(
      create(OrganizationSchema, {
        metadata: { name: LOCAL_OWNER.org, slug: LOCAL_OWNER.org },
        spec: { description: "This machine." },
      }),
    );
    if (await organizations.find(store, local, LOCAL_OWNER)) return;
    await orAfterLostRace(() =>
      transact(store, async (tx) => {
        if (await organizations.find(tx, local, LOCAL_OWNER)) return;
        await organizations.createIn(tx, local, LOCAL_OWNER);
      }),
    );
  }

  /** All that the caller has: every one in local mode, its own in cloud mode. */
  async function visible(principal: Principal): Promise<Organization[]> {
    if (mode === "local") {
      return readNumberedPage(
        { schema: FindApiResourcesRequestSchema, field: "page", page: { num: 0, size: MAX_FOUND } },
        (page) => organizations.select({}, page, principal),
      );
    }
    const named = create(OrganizationSchema, { metadata: { name: principal.org, slug: principal.org } });
    const own = await organizations.find(store, placed(named), principal);
    return own ? [own] : [];
  }

  router.service(OrganizationCommandController, {
    apply: async (given, context) => {
      const { principal } = await callOf(context);
      await ready();
      return organizations.apply(placed(given), principal);
    },
    create: async (given, context) => {
      const { principal } = await callOf(context);
      await ready();
      return organizations.create(placed(given), principal);
    },
    update: async (given, context) => {
      const { principal } = await callOf(context);
      await ready();
      return organizations.update(placed(given), principal);
    },
    delete: async ({ value }, context) => {
      const { principal } = await callOf(context);
      await ready();
      return organizations.delete(value, principal);
    },
  });
  router.service(OrganizationQueryController, {
    get: async ({ value }, context) => {
      const { principal } = await callOf(context);
      await ready();
      return organizations.get(value, principal);
    },
    find: async ({ org, kind, page, pageNumber, pageSize }, context) => {
      const { principal } = await callOf(context);
      const schema = FindApiResourcesRequestSchema;
      if (kind !== "" && kind !== "Organization") {
        throw invalidField({
          schema,
          field: "kind",
          message: "must be empty or Organization: this service has no other",
        });
      }
      await ready();
      const all = (await visible(principal)).filter(({ metadata }) => org === "" || metadata?.slug === org);
      const wanted = page ?? { num: pageNumber, size: pageSize };
      const { start, size } = rowsOf({ schema, field: page ? "page" : "page_number", page: wanted });
      const entries = all.slice(start, start + size);
      return create(OrganizationListSchema, { entries, totalPages: Math.ceil(all.length / size) });
    },
    findMyOrganizations: async (_request, context) => {
      const { principal } = await callOf(context);
      await ready();
      return create(OrganizationsSchema, { entries: await visible(principal) });
    },
  });
}

/** More are not answered at once. */
const MAX_FOUND = 1000;

/** An organisation is in no other: where a client says that it is does not count. */
function placed(given: Organization): Organization {
  const organization = clone(OrganizationSchema, given);
  organization.apiVersion = kinds.Organization.apiVersion;
  const metadata: ApiResourceMetadata = organization.metadata ?? create(ApiResourceMetadataSchema);
  organization.metadata = Object.assign(metadata, { org: "", ownerScope: ApiResourceOwnerScope.platform });
  return organization;
}
