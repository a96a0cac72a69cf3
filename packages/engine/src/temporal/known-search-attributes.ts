import type { NativeConnection } from "@temporalio/worker";
import type { Logger } from "../engine.ts";
import { errorText } from "./grpc-errors.ts";
import { SEARCH_ATTRIBUTES, type SearchAttributeName } from "./search-attributes.ts";

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
const KEYWORD = 2;
const ANSWER_WITHIN_MS = 10_000;

/** Which of our search attributes the namespace has. Those that it lacks would be refused with all else. */
export async function knownSearchAttributes(
  connection: NativeConnection,
  namespace: string,
  logger: Logger,
): Promise<SearchAttributeName[]> {
  try {
    const { customAttributes } = await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
      connection.operatorService.listSearchAttributes({ namespace }),
    );
    const names = Object.keys(SEARCH_ATTRIBUTES) as SearchAttributeName[];
    return names.filter((name) => customAttributes[name] === KEYWORD);
  } catch (error) {
    // Temporal Cloud has no operator service. Runs are found by their ids there.
    logger.info({ namespace, reason: errorText(error) }, "Temporal doesn't tell its search attributes; runs get none.");
    return [];
  }
}
