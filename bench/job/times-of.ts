import { performance } from "node:perf_hooks";
import { ANSWER } from "./job-scenario.ts";

/** Of one run of the job, in milliseconds from its beginning. */
export interface Times {
  readonly first: number;
  readonly token: number;
  readonly whole: number;
}

/** What is of interest in one event of a stream. */
export interface Seen {
  readonly text?: string;
  readonly result?: boolean;
}

export interface TimesOptions<Event> {
  /** Whose run it is, for an error. */
  readonly name: string;
  /** By `performance.now`. */
  readonly startedAt: number;
  readonly read: (event: Event) => Seen;
}

/** Reads what is told of a run to its end. Throws when the job was not done: two tool calls, and the whole answer. */
export async function timesOf<Event>(
  events: AsyncIterable<Event>,
  { name, startedAt, read }: TimesOptions<Event>,
): Promise<Times> {
  let [first, token, results, text] = [0, 0, 0, ""];
  for await (const event of events) {
    const now = performance.now() - startedAt;
    first ||= now;
    const seen = read(event);
    if (seen.result) results += 1;
    if (seen.text) {
      token ||= now;
      text += seen.text;
    }
  }
  if (results !== 2 || !text.includes(ANSWER)) {
    throw new Error(`${name} did another job: ${results} tool calls, and "${text.slice(0, 200)}".`);
  }
  return { first, token, whole: performance.now() - startedAt };
}
