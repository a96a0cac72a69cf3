import { getCurrentTaskInput } from "@langchain/langgraph";
import { type AnyBackendProtocol, createSummarizationMiddleware } from "deepagents";
import type { AgentMiddleware } from "langchain";
import { weightOf } from "../limits/tool-weight.ts";
import { stateApart } from "./state-apart.ts";

type WrapModelCall = NonNullable<AgentMiddleware["wrapModelCall"]>;

/**
 * deepagents' summaries of a long history, under the name of its own middleware and so in its place, with what it keeps in the agent's
 * state read from that state as it is. Of the tools it only counts what they take of the model's context.
 */
export function summaries(backend: AnyBackendProtocol): AgentMiddleware[] {
  const { wrapModelCall, ...theirs } = createSummarizationMiddleware({ backend }) as AgentMiddleware;
  const summarize = wrapModelCall as WrapModelCall;
  return stateApart({
    ...theirs,
    wrapModelCall: ({ tools, ...request }, handler) =>
      summarize({ ...request, tools: tools.map(weightOf), state: getCurrentTaskInput() }, (shortened) =>
        handler({ ...shortened, tools }),
      ),
  });
}
