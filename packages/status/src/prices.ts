/** What a model costs, in US dollars for a million tokens, which is millionths of a dollar for one. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  /** Input that the provider had cached. Default: as `input`. */
  readonly cachedInput?: number;
  /** Input that the provider puts into its cache. Default: as `input`. */
  readonly cacheWrite?: number;
}

/** Prices by the beginning of a model's name: `gpt-5` is also that of `gpt-5-2025-08-07`, but not of `gpt-5.1`. */
export type ModelPrices = Readonly<Record<string, ModelPrice>>;

/** Tokens of one call, each counted once in `input` and `output`. */
export interface PricedTokens {
  /** Cached ones, and those written to the cache, included. */
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly cacheWritten: number;
}

/** Millionths of a US dollar; 0 for a model without a price. */
export type Pricing = (model: string, tokens: PricedTokens) => number;

function anthropic(input: number, output: number, cachedInput = input / 10): ModelPrice {
  return { input, output, cachedInput, cacheWrite: input * 1.25 };
}

/**
 * List prices of the providers' own APIs for prompts of ordinary length, without batch, priority and long-context rates.
 * Anthropic: platform.claude.com/docs/en/about-claude/pricing. OpenAI: developers.openai.com/api/docs/pricing.
 * Gathered on 2026-11-21 from public copies of these pages. Longer names win over shorter ones.
 */
export const MODEL_PRICES: ModelPrices = {
  "claude-fable-5-1": anthropic(10, 50, 0.25),
  "claude-fable-5": anthropic(10, 50),
  "claude-opus-5-5": anthropic(4, 20, 0.2),
  "claude-opus-5": anthropic(5, 25),
  "claude-opus-4-8": anthropic(5, 25),
  "claude-opus-4-7": anthropic(5, 25),
  "claude-opus-4-6": anthropic(5, 25),
  "claude-opus-4-5": anthropic(5, 25),
  "claude-opus-4": anthropic(15, 75),
  "claude-sonnet-5-5": anthropic(2, 10, 0.1),
  "claude-sonnet-5": anthropic(2, 10),
  "claude-sonnet-4": anthropic(3, 15),
  "claude-3-7-sonnet": anthropic(3, 15),
  "claude-haiku-5-5": anthropic(0.1, 0.5),
  "claude-haiku-4-5": anthropic(1, 5),
  "claude-3-5-haiku": anthropic(0.8, 4),
  "gpt-6-sol": { input: 2, output: 10, cachedInput: 0.2, cacheWrite: 2.5 },
  "gpt-6-luna": { input: 0.1, output: 0.5, cachedInput: 0.01, cacheWrite: 0.125 },
  "gpt-5.6-sol": { input: 5, output: 30, cachedInput: 0.5, cacheWrite: 6.25 },
  "gpt-5.6-terra": { input: 2, output: 12, cachedInput: 0.2, cacheWrite: 2.5 },
  "gpt-5.6-luna": { input: 0.2, output: 1.2, cachedInput: 0.02, cacheWrite: 0.25 },
  "gpt-5.5": { input: 5, output: 30, cachedInput: 0.5 },
  "gpt-5.4": { input: 2.5, output: 15, cachedInput: 0.25 },
  "gpt-5.4-mini": { input: 0.75, output: 4.5, cachedInput: 0.075 },
  "gpt-5.4-nano": { input: 0.2, output: 1.25, cachedInput: 0.02 },
  "gpt-5.3-codex": { input: 1.75, output: 14, cachedInput: 0.175 },
  "gpt-5.2": { input: 1.75, output: 14, cachedInput: 0.175 },
  "gpt-5.1": { input: 1.25, output: 10, cachedInput: 0.125 },
  "gpt-5": { input: 1.25, output: 10, cachedInput: 0.125 },
  "gpt-5-pro": { input: 15, output: 120 },
  "gpt-5-mini": { input: 0.25, output: 2, cachedInput: 0.025 },
  "gpt-5-nano": { input: 0.05, output: 0.4, cachedInput: 0.005 },
  "gpt-4.1": { input: 2, output: 8, cachedInput: 0.5 },
  "gpt-4.1-mini": { input: 0.4, output: 1.6, cachedInput: 0.1 },
  "gpt-4.1-nano": { input: 0.1, output: 0.4, cachedInput: 0.025 },
  "gpt-4o": { input: 2.5, output: 10, cachedInput: 1.25 },
  "gpt-4o-mini": { input: 0.15, output: 0.6, cachedInput: 0.075 },
  o3: { input: 2, output: 8, cachedInput: 0.5 },
  "o3-mini": { input: 1.1, output: 4.4, cachedInput: 0.55 },
  "o4-mini": { input: 1.1, output: 4.4, cachedInput: 0.275 },
};

/** Prices calls by `prices` and, for models that it says nothing of, by {@link MODEL_PRICES}. */
export function createPricing(prices: ModelPrices = {}): Pricing {
  const table = new Map(Object.entries({ ...MODEL_PRICES, ...prices }).map(([name, price]) => [plain(name), price]));
  const found = new Map<string, ModelPrice | undefined>();
  const priceOf = (model: string): ModelPrice | undefined => {
    if (!found.has(model)) found.set(model, longestMatch(table, plain(model)));
    return found.get(model);
  };
  return (model, { input, output, cached, cacheWritten }) => {
    const price = priceOf(model);
    if (price === undefined) return 0;
    const fresh = Math.max(0, input - cached - cacheWritten);
    return (
      fresh * price.input +
      cached * (price.cachedInput ?? price.input) +
      cacheWritten * (price.cacheWrite ?? price.input) +
      output * price.output
    );
  };
}

/** The name as providers' price lists have it: `anthropic/claude-sonnet-4.5` is `claude-sonnet-4-5`. */
function plain(model: string): string {
  const name = model
    .toLowerCase()
    .replace(/^.*\//, "")
    .replace(/^(?:\w+\.)?anthropic\./, "");
  return name.startsWith("claude-") ? name.replaceAll(".", "-") : name;
}

function longestMatch(table: ReadonlyMap<string, ModelPrice>, model: string): ModelPrice | undefined {
  for (
    let end = model.length;
    end > 0;
    end = Math.max(...["-", ":", "@"].map((mark) => model.lastIndexOf(mark, end - 1)))
  ) {
    const price = table.get(model.slice(0, end));
    if (price !== undefined) return price;
  }
  return undefined;
}
