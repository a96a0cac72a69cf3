import { differencesOf, hashStatus, type NormalStatus, unknownCalls, withoutOutcomes } from "./normal-status.ts";
import type { RecordedToolCall } from "./recorder.ts";
import { differingPaths, type ToolEffect, type WorkspaceTree } from "./workspace-tree.ts";

/** All that is known of a run after its end. */
export interface Observation {
  readonly status: NormalStatus;
  /** The calls that the status has rows of, by their ids as the model gave them, and whether it tells them as unknown. */
  readonly rows: ReadonlyMap<string, { readonly isUnknown: boolean }>;
  /** By call key; a key holds the ids of its run. */
  readonly toolCalls: ReadonlyMap<string, RecordedToolCall>;
  readonly tree: WorkspaceTree;
  /** Undefined where it can't be seen. */
  readonly orphans: readonly string[] | undefined;
  /** What the server still holds of it: tasks that wait or are leased, tool calls in the ledger. */
  readonly leftovers: readonly string[];
  /** Processes that ended by themselves. */
  readonly crashes: readonly string[];
  /** From the submission to the end. */
  readonly durationMs: number;
}

/** The run that nobody disturbed. */
export interface Undisturbed extends Observation {
  /** By call key. */
  readonly effects: ReadonlyMap<string, ToolEffect>;
}

export interface Disturbed extends Observation {
  /** Whether the durable point was reached at all. */
  readonly struck: boolean;
  /** Call keys; only these calls may be unknown. */
  readonly openAtStrike: readonly string[];
}

export interface Comparison {
  /** One line each; none: the run ended as if nothing had happened. */
  readonly differences: readonly string[];
  /** How many calls the agent was told to be unknown, rightly so. */
  readonly unknown: number;
  readonly statusHash: string;
}

/** Holds a disturbed run against the undisturbed one. */
export function compare(expected: Undisturbed, actual: Disturbed): Comparison {
  const differences: string[] = [];
  if (!actual.struck) differences.push("the point was not reached");

  const unknown = [...actual.toolCalls].flatMap(([callKey, { isUnknown }]) => (isUnknown ? [callKey] : []));
  differences.push(...wronglyUnknown(actual, unknown));
  const names = unknownCalls(actual.status);
  const [was, is] = [withoutOutcomes(expected.status, names), withoutOutcomes(actual.status, names)];
  if (hashStatus(was) !== hashStatus(is)) differences.push(`status: ${some(differencesOf(was, is))}`);

  differences.push(...differentCalls(expected, actual));

  const trees = { expected: expected.tree, actual: actual.tree };
  const paths = differingPaths(trees, effectsOf(expected, unknown));
  if (paths.length > 0) differences.push(`workspace: ${some(paths)}`);

  if (actual.orphans !== undefined && actual.orphans.length > 0)
    differences.push(`left running: ${some(actual.orphans)}`);
  if (actual.leftovers.length > 0) differences.push(`left on the server: ${some(actual.leftovers)}`);
  differences.push(...actual.crashes);
  return { differences, unknown: unknown.length, statusHash: hashStatus(is) };
}

/** A call may be unknown when it was under way at the kill, and then the status has to say so. */
function wronglyUnknown({ openAtStrike, rows }: Disturbed, unknown: readonly string[]): string[] {
  const ids = new Set(unknown.map(toolCallId));
  return [
    ...unknown
      .filter((callKey) => !openAtStrike.includes(callKey))
      .map((callKey) => `tool call ${callKey} is unknown, and was not under way`),
    ...unknown
      .filter((callKey) => rows.get(toolCallId(callKey))?.isUnknown !== true)
      .map((callKey) => `tool call ${callKey} is unknown, and the status does not say so`),
    ...[...rows]
      .filter(([id, { isUnknown }]) => isUnknown && !ids.has(id))
      .map(([id]) => `tool call ${id} is unknown in the status alone`),
  ];
}

/** A call key is the message that asked, `/`, and the call. */
function toolCallId(callKey: string): string {
  return callKey.slice(callKey.lastIndexOf("/") + 1);
}

function differentCalls(expected: Observation, actual: Observation): string[] {
  const tally = ({ toolCalls }: Observation): string =>
    [...toolCalls.values()]
      .map(({ tool }) => tool)
      .sort()
      .join(", ");
  const twice = [...actual.toolCalls.values()].filter(({ once, starts }) => once && starts > 1);
  return [
    ...(tally(expected) === tally(actual) ? [] : [`tool calls: ${tally(expected)} → ${tally(actual)}`]),
    ...twice.map(({ tool, starts }) => `${tool} was started ${starts} times, and may be once only`),
  ];
}

/** What these calls do in the undisturbed run. */
function effectsOf({ effects }: Undisturbed, calls: readonly string[]): ToolEffect[] {
  // Ids differ where the model makes new ones each time: then any call may be the one.
  return calls.every((key) => effects.has(key))
    ? calls.flatMap((key) => effects.get(key) ?? [])
    : [...effects.values()];
}

function some(items: readonly string[]): string {
  const shown = items.slice(0, 3).join(", ");
  return items.length > 3 ? `${shown} and ${items.length - 3} more` : shown;
}
