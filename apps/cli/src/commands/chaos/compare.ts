import { differencesOf, hashStatus, type NormalStatus, unknownCalls, withoutOutcomes } from "./normal-status.ts";
import type { RecordedToolCall } from "./recorder.ts";
import { differingPaths, type ToolEffect, type WorkspaceTree } from "./workspace-tree.ts";

/** All that is known of a run after its end. */
export interface Observation {
  readonly status: NormalStatus;
  /** By call key; a key holds the ids of its run. */
  readonly toolCalls: ReadonlyMap<string, RecordedToolCall>;
  readonly tree: WorkspaceTree;
  /** Undefined where it can't be seen. */
  readonly orphans: readonly string[] | undefined;
  /** Runs and clean-ups that still wait or are leased. */
  readonly tasksLeft: number;
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
  /** How many calls are told to be unknown, rightly so. */
  readonly unknown: number;
  readonly statusHash: string;
}

/** Holds a disturbed run against the undisturbed one. */
export function compare(expected: Undisturbed, actual: Disturbed): Comparison {
  const differences: string[] = [];
  if (!actual.struck) differences.push("the point was not reached");

  const unknown = unknownCalls(actual.status);
  if (unknown.size > actual.openAtStrike.length) {
    differences.push(
      `${unknown.size} tool calls are unknown, and ${actual.openAtStrike.length} were under way when it was killed`,
    );
  }
  const [was, is] = [withoutOutcomes(expected.status, unknown), withoutOutcomes(actual.status, unknown)];
  if (hashStatus(was) !== hashStatus(is)) differences.push(`status: ${some(differencesOf(was, is))}`);

  differences.push(...differentCalls(expected, actual));

  const effects = [...expected.effects.values()];
  const ofUnknown = unknown.size === 0 ? [] : openEffects(expected, actual.openAtStrike, effects);
  const paths = differingPaths({ expected: expected.tree, actual: actual.tree }, ofUnknown);
  if (paths.length > 0) differences.push(`workspace: ${some(paths)}`);

  if (actual.orphans !== undefined && actual.orphans.length > 0)
    differences.push(`left running: ${some(actual.orphans)}`);
  if (actual.tasksLeft > 0) differences.push(`${actual.tasksLeft} tasks left in the queue`);
  differences.push(...actual.crashes);
  return { differences, unknown: unknown.size, statusHash: hashStatus(is) };
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

/** What the calls that were open do in the undisturbed run, found there by their key, else by their number. */
function openEffects(expected: Undisturbed, open: readonly string[], all: readonly ToolEffect[]): ToolEffect[] {
  const keys = [...expected.effects.keys()];
  // Ids differ where the model makes new ones each time: then any call may be the one.
  return open.every((key) => keys.includes(key)) ? open.flatMap((key) => expected.effects.get(key) ?? []) : [...all];
}

function some(items: readonly string[]): string {
  const shown = items.slice(0, 3).join(", ");
  return items.length > 3 ? `${shown} and ${items.length - 3} more` : shown;
}
