import type { Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type {
  ApiResourceDeleteInput,
  ApiResourceReference,
  ListApiResourcesRequest,
} from "@stigmer/protos/apiresource";
import type { CallOf } from "./call.ts";
import type { Page } from "./pages.ts";
import type { DeleteOptions, Resource, Resources } from "./resources.ts";

/** The methods that the services of all kinds share, secrets shown or masked as the caller may see them. */
export interface ResourceHandlers<T extends Resource> {
  apply(given: T, context: HandlerContext): Promise<T>;
  create(given: T, context: HandlerContext): Promise<T>;
  update(given: T, context: HandlerContext): Promise<T>;
  deleteById(id: { readonly value: string; readonly force?: boolean }, context: HandlerContext): Promise<T>;
  /** For services whose `delete` takes an `ApiResourceDeleteInput`. */
  deleteByInput(input: Omit<ApiResourceDeleteInput, keyof Message>, context: HandlerContext): Promise<T>;
  get(id: { readonly value: string }, context: HandlerContext): Promise<T>;
  getByReference(reference: ApiResourceReference, context: HandlerContext): Promise<T>;
  list(request: ListApiResourcesRequest, context: HandlerContext): Promise<Page<T>>;
}

export function createResourceHandlers<T extends Resource>(
  resources: Resources<T>,
  callOf: CallOf,
): ResourceHandlers<T> {
  async function remove(id: string, options: DeleteOptions, context: HandlerContext): Promise<T> {
    const { principal, view } = await callOf(context);
    return view(await resources.delete(id, principal, options));
  }
  return {
    apply: async (given, context) => {
      const { principal, view } = await callOf(context);
      return view(await resources.apply(given, principal));
    },
    create: async (given, context) => {
      const { principal, view } = await callOf(context);
      return view(await resources.create(given, principal));
    },
    update: async (given, context) => {
      const { principal, view } = await callOf(context);
      return view(await resources.update(given, principal));
    },
    deleteById: ({ value, force }, context) => remove(value, { force }, context),
    deleteByInput: ({ resourceId, force, versionMessage }, context) =>
      remove(resourceId, { force, reason: versionMessage }, context),
    get: async ({ value }, context) => {
      const { principal, view } = await callOf(context);
      return view(await resources.get(value, principal));
    },
    getByReference: async (reference, context) => {
      const { principal, view } = await callOf(context);
      return view(await resources.getByReference(reference, principal));
    },
    list: async (request, context) => {
      const { principal, view } = await callOf(context);
      const { items, nextPageToken } = await resources.list(request, principal);
      return { items: items.map((item) => view(item)), nextPageToken };
    },
  };
}
