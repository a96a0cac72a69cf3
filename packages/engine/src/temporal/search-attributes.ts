import { defineSearchAttributeKey } from "@temporalio/common";

type Keyword = ReturnType<typeof defineSearchAttributeKey<"KEYWORD">>;

/** Search attributes of ours (all of type Keyword), by which a namespace that has them lists runs. */
export const SEARCH_ATTRIBUTES: {
  readonly StigmerAgent: Keyword;
  readonly StigmerSession: Keyword;
  readonly StigmerOrg: Keyword;
  readonly StigmerPhase: Keyword;
} = {
  StigmerAgent: defineSearchAttributeKey("StigmerAgent", "KEYWORD"),
  StigmerSession: defineSearchAttributeKey("StigmerSession", "KEYWORD"),
  StigmerOrg: defineSearchAttributeKey("StigmerOrg", "KEYWORD"),
  StigmerPhase: defineSearchAttributeKey("StigmerPhase", "KEYWORD"),
};

export type SearchAttributeName = keyof typeof SEARCH_ATTRIBUTES;
