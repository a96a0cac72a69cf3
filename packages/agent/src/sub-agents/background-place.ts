// Where a task in the background is: on a thread of its own beside its run's, since the run's thread drops the sub-graphs of
// earlier steps, and at a place of its own in the run's events.
const infix = "/background/";
const prefix = "background:";
const key = "stigmer_place";

export function backgroundThread(threadId: string, taskId: string): string {
  return `${threadId}${infix}${taskId}`;
}

/** What the threads of a thread's background tasks begin with. */
export function backgroundThreadsOf(threadId: string): string {
  return `${threadId}${infix}`;
}

/** The thread of the run that the thread belongs to; its own when it is no background task's. */
export function runThreadOf(threadId: unknown): string {
  const thread = String(threadId);
  const at = thread.indexOf(infix);
  return at < 0 ? thread : thread.slice(0, at);
}

/** The first part of the namespace of a background task's events. */
export function backgroundPlace(taskId: string): string {
  return `${prefix}${taskId}`;
}

/** The part of LangGraph's `configurable` that tells a background task's calls from those of the run's own graph. */
export function placeConfig(place: string): Readonly<Record<string, string>> {
  return { [key]: place };
}

/** Where in its run a call is made: `tools:<task>` for each graph on the way, below a background task's own place. */
export function placeOf(configurable: Readonly<Record<string, unknown>> | undefined): string {
  const checkpointNs = String(configurable?.["checkpoint_ns"] ?? "");
  const place = configurable?.[key];
  return typeof place === "string" ? `${place}|${checkpointNs}` : checkpointNs;
}

/** The background task that a place belongs to, by its own place; `""` for the run's own graph. */
export function ownerOf([first = ""]: readonly string[]): string {
  return first.startsWith(prefix) ? first : "";
}
