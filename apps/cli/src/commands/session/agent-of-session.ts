import type { StigmerClient } from "@stigmer/client";
import type { Session } from "@stigmer/protos/session/v1";
import { findKind, findResource } from "../../resources/kinds.ts";

/** The session of an id, and the id of the agent that it is with. */
export async function agentOfSession(
  client: StigmerClient,
  id: string,
): Promise<{ readonly session: Session; readonly agentId: string }> {
  const session = (await findResource(client, findKind("session"), id)) as Session;
  const instance = await client.agentInstances.get(session.spec?.agentInstanceId ?? "");
  return { session, agentId: instance.spec?.agentId ?? "" };
}
