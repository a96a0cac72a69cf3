import { createHash } from "node:crypto";
import type { ChosenTurn } from "./choose-turn.ts";
import type { Conversation } from "./conversation.ts";
import { ScriptedModelError } from "./errors.ts";
import { estimateTokens, type Reply, type ReplyPart } from "./reply.ts";
import { mapStrings } from "./scenario/map-strings.ts";
import { firstGroup, parseTemplate, renderTemplate, type Scope } from "./template.ts";

export interface ReplyOptions {
  readonly chunkSize: number;
  readonly idPrefixes: { readonly message: string; readonly call: string };
  /** How often this turn has misbehaved before: a provider gives each try ids of its own. */
  readonly failedBefore: number;
}

/**
 * Fills a turn with the conversation's own results and gives it its ids.
 * @throws {ScriptedModelError} `template-found-nothing`, naming scenario, turn, field and template.
 */
export function writeReply(chosen: ChosenTurn, conversation: Conversation, options: ReplyOptions): Reply {
  const { scenario, turn, position } = chosen;
  const { chunkSize, idPrefixes, failedBefore } = options;
  const again = failedBefore === 0 ? [] : [{ failedBefore }];
  const filled = fillTemplates(chosen, conversation);
  const parts: ReplyPart[] = [];
  if (filled.thinking !== undefined) parts.push({ type: "thinking", text: filled.thinking });
  if (filled.text !== undefined) parts.push({ type: "text", text: filled.text });
  for (const [index, { name, id }] of (turn.toolCalls ?? []).entries()) {
    const args = filled.toolCalls?.[index]?.args ?? {};
    parts.push({ type: "toolCall", id: id ?? idPrefixes.call + digest(runKey(chosen), index, ...again), name, args });
  }
  const sent = parts.map((part) => (part.type === "toolCall" ? part.name + JSON.stringify(part.args) : part.text));
  return {
    id: idPrefixes.message + digest(scenario.name, position.turn, conversation.messages, ...again),
    model: conversation.model,
    parts,
    refusal: filled.refusal,
    usage: {
      input: estimateTokens(conversation.size),
      output: estimateTokens(sent.join("").length + (filled.refusal?.length ?? 0)),
      reasoning: filled.thinking === undefined ? 0 : estimateTokens(filled.thinking.length),
    },
    chunkSize,
  };
}

/** Names this turn of this conversation. All that humans said is in it, so that a question asked twice is two runs. */
export function runKey({ scenario, position }: ChosenTurn): string {
  const again = position.repeat === undefined ? [] : [position.repeat.count];
  return digest(scenario.name, position.turn, position.human, ...again);
}

function digest(...parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}

type Fillable = Pick<ChosenTurn["turn"], "thinking" | "text" | "toolCalls" | "refusal">;

function fillTemplates({ scenario, turn, position }: ChosenTurn, conversation: Conversation): Fillable {
  const scope: Scope = {
    results: position.results,
    capture(name) {
      const rule = scenario.capture?.[name];
      if (rule === undefined) return undefined;
      const { human } = position;
      const sources = { system: conversation.system, human: human.at(-1) ?? "", firstHuman: human[0] ?? "" };
      return firstGroup(new RegExp(rule.pattern, "m"), sources[rule.from]);
    },
  };
  const { thinking, text, toolCalls, refusal } = turn;
  return mapStrings({ thinking, text, refusal, toolCalls: toolCalls?.map(({ args }) => ({ args })) }, (value, path) => {
    try {
      return renderTemplate(parseTemplate(value), scope);
    } catch (error) {
      throw new ScriptedModelError(
        "template-found-nothing",
        `Scenario "${scenario.name}", turn ${position.turn}, ${path.join(".")}: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }) as Fillable;
}
