import { ClientError, type StigmerClient } from "@stigmer/client";
import { isId, slugify } from "@stigmer/protos";
import type { Agent } from "@stigmer/protos/agent/v1";
import { closest } from "../closest.ts";
import { CliError } from "../errors.ts";

/** The agent that a person names, by name or id. Throws a `CliError` with the advice when the server has none. */
export async function findAgent(client: StigmerClient, nameOrId: string, advice: string): Promise<Agent> {
  try {
    return isId(nameOrId, "Agent")
      ? await client.agents.get(nameOrId)
      : await client.agents.getByReference({ slug: slugify(nameOrId) || nameOrId });
  } catch (error) {
    if (!ClientError.is(error) || error.code !== "not-found") throw error;
    const near = isId(nameOrId, "Agent") ? undefined : closest(slugify(nameOrId), await latestSlugs(client));
    const hint = near === undefined ? advice : `: did you mean ${near}?`;
    throw new CliError("failed", `There is no agent "${nameOrId}"${hint}`, { cause: error });
  }
}

/** One page: a hint is worth one call. */
async function latestSlugs(client: StigmerClient): Promise<string[]> {
  const { items } = await client.agents.list({ pageSize: 100 });
  return items.flatMap(({ metadata }) => metadata?.slug ?? []);
}
