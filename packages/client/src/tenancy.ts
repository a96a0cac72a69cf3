import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import { type ApiKey, ApiKeyCommandController, ApiKeyQueryController, ApiKeySchema } from "@stigmer/protos/apikey/v1";
import {
  type Organization,
  OrganizationCommandController,
  OrganizationQueryController,
  OrganizationSchema,
} from "@stigmer/protos/organization/v1";
import { call, type CallOptions } from "./call.ts";
import { listOf, numberedPage, type List, type PageInput } from "./pages.ts";
import { requireId } from "./require-id.ts";
import { describe, verbsOf, type Defaults } from "./resource-client.ts";
import { toResource, type ResourceInput } from "./resource-input.ts";
import type { ResourceClient } from "./resources.ts";

export type ApiKeyInput = ResourceInput<typeof ApiKeySchema>;
export type OrganizationInput = ResourceInput<typeof OrganizationSchema>;

export interface OrganizationClient extends Pick<
  ResourceClient<Organization, OrganizationInput>,
  "apply" | "create" | "update" | "get"
> {
  /** Throws `failed-precondition` while it owns resources. */
  delete(id: string, options?: CallOptions): Promise<Organization>;
  /** Those that the caller may see. */
  list(input?: PageInput, options?: CallOptions): List<Organization>;
  /** Those that the caller is a member of. */
  listMine(options?: CallOptions): Promise<readonly Organization[]>;
}

/** A key that was made. */
export interface CreatedApiKey {
  /** The key itself. It is never shown again: keep it now. */
  readonly key: string;
  /** What is kept of it. */
  readonly apiKey: ApiKey;
}

export interface ApiKeyClient {
  /** Makes a key. Is not repeated by itself: a key whose answer was lost is of no use, and can be deleted. */
  create(input: ApiKeyInput, options?: CallOptions): Promise<CreatedApiKey>;
  /** Changes name and expiry, never the key itself. */
  update(input: ApiKeyInput, options?: CallOptions): Promise<ApiKey>;
  /** From then on the key is refused. */
  delete(id: string, options?: CallOptions): Promise<ApiKey>;
  get(id: string, options?: CallOptions): Promise<ApiKey>;
  getByKeyHash(keyHash: string, options?: CallOptions): Promise<ApiKey>;
  /** All keys of the caller, without what they could be used by. */
  list(options?: CallOptions): List<ApiKey>;
}

export function createOrganizationClient(transport: Transport, defaults: Defaults): OrganizationClient {
  const command = createConnectClient(OrganizationCommandController, transport);
  const query = createConnectClient(OrganizationQueryController, transport);
  const organization = verbsOf({ kind: "Organization", schema: OrganizationSchema, noun: "organization" }, defaults);
  return {
    apply: organization.write(command.apply),
    create: organization.create(command.create, query.get),
    update: organization.write(command.update),
    delete: organization.byId((value, options) => command.delete({ value }, options)),
    get: organization.byId((value, options) => query.get({ value }, options)),
    list: ({ pageSize = 0, pageToken } = {}, options) =>
      listOf(pageToken, (pageToken) =>
        call("organizations", () =>
          numberedPage({ pageSize, pageToken }, async (page) => {
            const { entries: items, totalPages } = await query.find({ page }, options);
            return { items, totalPages };
          }),
        ),
      ),
    listMine: (options) => call("organizations", async () => (await query.findMyOrganizations({}, options)).entries),
  };
}

export function createApiKeyClient(transport: Transport, defaults: Defaults): ApiKeyClient {
  const command = createConnectClient(ApiKeyCommandController, transport);
  const query = createConnectClient(ApiKeyQueryController, transport);
  const of = { kind: "ApiKey", schema: ApiKeySchema, noun: "API key" } as const;
  const verbs = verbsOf(of, defaults);
  return {
    create: (input, options) => {
      const given = toResource(of, input);
      return call(describe(of.noun, given), async () => {
        const apiKey = await command.create(given, options);
        const key = apiKey.spec?.keyHash ?? "";
        if (apiKey.spec) apiKey.spec.keyHash = "";
        return { key, apiKey };
      });
    },
    update: verbs.write(command.update),
    delete: verbs.byId((value, options) => command.delete({ value }, options)),
    get: verbs.byId((value, options) => query.get({ value }, options)),
    getByKeyHash: (keyHash, options) =>
      call("API key", async () => query.getByKeyHash({ value: requireId("key_hash", keyHash) }, options)),
    list: (options) =>
      listOf("", () =>
        call("API keys", async () => ({ items: (await query.findAll({}, options)).entries, nextPageToken: "" })),
      ),
  };
}
