import { locate, type Conversation, type Position } from "./conversation.ts";
import { ScriptedModelError } from "./errors.ts";
import type { Match, Scenario, ScenarioFile, ScriptedToolCall, TextMatch, Turn } from "./scenario/scenario.ts";

/** The turn that answers a request, and what is needed to write the answer. */
export interface ChosenTurn {
  readonly scenario: Scenario;
  readonly turn: Turn;
  readonly position: Position;
}

/** @throws {ScriptedModelError} `no-scenario-matches` or `past-the-last-turn`. */
export function chooseTurn(file: ScenarioFile, conversation: Conversation): ChosenTurn {
  const position = locate(conversation);
  const missed: string[] = [];
  for (const scenario of file.scenarios) {
    const rule = firstUnmet(scenario.match ?? {}, conversation, position);
    if (rule === undefined) return turnOf(scenario, conversation);
    missed.push(`"${scenario.name}" by ${rule}`);
  }
  const said = JSON.stringify(position.human.at(-1)?.slice(0, 200) ?? "");
  throw new ScriptedModelError(
    "no-scenario-matches",
    `No scenario of "${file.name}" matches this request (last human message ${said}). Missed: ${missed.join("; ")}.`,
  );
}

function turnOf(scenario: Scenario, conversation: Conversation): ChosenTurn {
  const { repeatCallsWhen: lost } = scenario;
  const position = locate(conversation, (result) => lost !== undefined && meets(lost, result));
  const turn = scenario.turns[position.turn];
  if (turn !== undefined)
    return { scenario, position, turn: position.repeat ? onlyCalls(turn, position.repeat) : turn };
  throw new ScriptedModelError(
    "past-the-last-turn",
    `Scenario "${scenario.name}" has ${scenario.turns.length} turns and is asked for turn ${position.turn} ` +
      "(counted from 0, by assistant messages since the last human message). Let an earlier turn end without tool calls, or add one.",
  );
}

/** Nothing is said twice: the calls alone are made again. */
function onlyCalls(turn: Turn, { calls, count }: NonNullable<Position["repeat"]>): Turn {
  const toolCalls = calls.flatMap((index) => turn.toolCalls?.[index] ?? []);
  return {
    ...turn,
    thinking: undefined,
    text: undefined,
    refusal: undefined,
    toolCalls: toolCalls.map((call) => again(call, count)),
  };
}

function again(call: ScriptedToolCall, count: number): ScriptedToolCall {
  return call.id === undefined ? call : { ...call, id: `${call.id}-again-${count}` };
}

function firstUnmet(match: Match, conversation: Conversation, position: Position): string | undefined {
  const { human } = position;
  const texts = [
    ["system", match.system, conversation.system],
    ["human", match.human, human.at(-1) ?? ""],
    ["firstHuman", match.firstHuman, human[0] ?? ""],
    ["model", match.model, conversation.model],
  ] as const;
  for (const [name, rule, text] of texts) {
    if (rule !== undefined && !meets(rule, text)) return `its ${name} rule`;
  }
  for (const rule of match.tools ?? []) {
    const met = conversation.tools.some((tool) => (typeof rule === "string" ? tool === rule : meets(rule, tool)));
    if (!met) return `its tools rule ${JSON.stringify(rule)}`;
  }
  return undefined;
}

function meets(rule: TextMatch, text: string): boolean {
  if (typeof rule === "string") return text.includes(rule);
  return "contains" in rule ? text.includes(rule.contains) : new RegExp(rule.regex, "m").test(text);
}
