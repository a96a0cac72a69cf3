import { setTimeout as sleep } from "node:timers/promises";
import { toBinary } from "@bufbuild/protobuf";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { type AgentExecution, AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { SETTLE_MS } from "./attended-run.ts";

export interface Seen {
  /** What an organisation was shown of another one, or was answered instead of a refusal. */
  readonly problems: readonly string[];
  /** How often it was refused what is another one's, by those who know who asks. */
  readonly refusals: number;
}

export interface Eyes {
  readonly org: string;
  readonly client: StigmerClient;
}

/** Who has no right to a run hears that there is none. */
const REFUSED: ReadonlySet<string> = new Set(["not-found", "permission-denied"]);

/** Each organisation looks for the others' runs by all ways that lead to runs, until `over`. Every name of an organisation's run has its canary. */
export async function lookForForeign(
  eyes: readonly Eyes[],
  { over, canaryOf }: { readonly over: AbortSignal; readonly canaryOf: (org: string) => string },
): Promise<Seen> {
  const problems: string[] = [];
  let refusals = 0;
  const known = new Map(eyes.map(({ org }) => [org, new Set<string>()]));

  const look = (org: string, execution: AgentExecution): void => {
    const bytes = Buffer.from(toBinary(AgentExecutionSchema, execution)).toString("latin1");
    for (const { org: other } of eyes)
      if (other !== org && bytes.includes(canaryOf(other)))
        problems.push(`${org} was shown ${execution.metadata?.id} of ${other}`);
    if (execution.metadata?.org !== org)
      problems.push(`${org} was shown ${execution.metadata?.id}, of ${execution.metadata?.org}`);
    known.get(org)?.add(execution.metadata?.id ?? "");
  };

  async function list({ org, client }: Eyes): Promise<void> {
    try {
      for await (const update of client.executions.watchList({ signal: over, giveUpAfterMs: SETTLE_MS }))
        if (update.kind === "changed") look(org, update.execution);
    } catch (error) {
      if (!over.aborted) problems.push(`${org}'s list of runs broke: ${String(error)}`);
    }
  }

  async function page({ org, client }: Eyes): Promise<void> {
    while (!over.aborted) {
      try {
        for await (const execution of client.executions.list({ pageSize: 20 })) {
          look(org, execution);
          if (over.aborted) break;
        }
      } catch (error) {
        if (!isAway(error)) problems.push(`${org} could not list its runs: ${String(error)}`);
      }
      await sleep(2_000, undefined, { signal: over }).catch(() => {});
    }
  }

  async function probe({ org, client }: Eyes): Promise<void> {
    while (!over.aborted) {
      await sleep(500, undefined, { signal: over }).catch(() => {});
      for (const [other, ids] of known) {
        const id = [...ids].at(-1);
        if (other === org || id === undefined) continue;
        const ways: Readonly<Record<string, () => Promise<unknown>>> = {
          get: () => client.executions.get(id),
          watch: () => client.executions.watch(id, { giveUpAfterMs: 0 }).next(),
          cancel: () => client.executions.cancel(id, "not mine"),
        };
        for (const [way, ask] of Object.entries(ways)) {
          const error = await ask().then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (ClientError.is(error) && REFUSED.has(error.code)) refusals += 1;
          else if (!isAway(error))
            problems.push(
              `${org} asked to ${way} ${id} of ${other}: ${error === undefined ? "answered" : String(error)}`,
            );
        }
      }
    }
  }

  await Promise.all(eyes.flatMap((own) => [list(own), page(own), probe(own)]));
  return { problems, refusals };
}

const isAway = (error: unknown): boolean => ClientError.is(error) && error.retryable;
