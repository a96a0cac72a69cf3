import type { HumanMessage } from "@langchain/core/messages";
import { type AnyBackendProtocol, createFilesystemMiddleware } from "deepagents";

/** As deepagents has it. By their count, four characters are a token. */
export const INPUT_LIMIT_TOKENS = 50_000;

/** What is said to an agent, with all of it in a file where it is too long for the model, which is then shown its beginning and its end. */
export type PutAside = (message: HumanMessage) => Promise<HumanMessage>;

/** deepagents' own way to do so, without the step of the graph that it takes before each run. */
export function longInputs(backend: AnyBackendProtocol): PutAside {
  return async (message) => {
    if (message.text.length <= 4 * INPUT_LIMIT_TOKENS) return message;
    const settings = { backend, tools: ["read_file"] as const, humanMessageTokenLimitBeforeEvict: INPUT_LIMIT_TOKENS };
    const { beforeAgent } = createFilesystemMiddleware(settings) as { readonly beforeAgent?: BeforeAgent };
    const update = await beforeAgent?.({ messages: [message] });
    return update?.messages?.[0] ?? message;
  };
}

type BeforeAgent = (state: {
  readonly messages: readonly HumanMessage[];
}) => Promise<{ readonly messages?: readonly HumanMessage[] } | undefined>;
