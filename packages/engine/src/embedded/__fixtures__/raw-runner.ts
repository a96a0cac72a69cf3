import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { type CompleteLeaseRequestSchema, type LeaseEvent, type LeaseSignal, RunnerController, type TakeLeasesRequestSchema } from "@stigmer/protos/runner/v1";

/** A runner that does nothing by itself: the test makes its calls. */
export interface RawRunner {
  readonly client: Client<typeof RunnerController>;
  /** Opens a stream; `next` reads it. */
  attach(request?: MessageInitShape<typeof TakeLeasesRequestSchema>): RawStream;
  complete(lease: Lease, outcome?: MessageInitShape<typeof CompleteLeaseRequestSchema>["outcome"]): Promise<unknown>;
}

export interface RawStream {
  /** The next event in a short form: `lease aex-1/1 id-of-item`, `cancel aex-1/1 why`, `inbox aex-1/1 id`, `lost aex-1/1`, `attached aex-1/1`; `end` at the end. */
  next(): Promise<string>;
  close(): void;
}

interface Lease {
  readonly taskId: string;
  readonly fence: number;
}

export function createRawRunner(transport: Transport, runnerId: string): RawRunner {
  const client = createClient(RunnerController, transport);
  return {
    client,
    attach: (request) => {
      const abort = new AbortController();
      const offer = { runnerId, taskQueue: "agent_execution_runner", maxConcurrency: 5, ...request };
      const events = client.takeLeases(offer, { signal: abort.signal })[Symbol.asyncIterator]();
      return {
        next: async () => {
          const { value, done } = await events.next();
          return done === true ? "end" : inWords(value);
        },
        close: () => abort.abort(),
      };
    },
    complete: (lease, outcome) => {
      const status = create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
      return client.completeLease({ runnerId, lease, outcome: outcome ?? { case: "status", value: status } });
    },
  };
}

function inWords({ event }: LeaseEvent): string {
  const key = ({ taskId, fence }: Lease): string => `${taskId}/${String(fence)}`;
  switch (event.case) {
    case "attached":
      return ["attached", ...event.value.kept.map(key)].join(" ");
    case "lease":
      return [`lease ${key(event.value)}`, ...event.value.inbox.map(({ id }) => id)].join(" ");
    case "signal":
      return `${event.value.signal.case ?? "nothing"} ${key(event.value)} ${inShort(event.value.signal)}`.trimEnd();
    case "lost":
      return `lost ${key(event.value)}`;
    case undefined:
      return "nothing";
  }
}

function inShort({ case: kind, value }: LeaseSignal["signal"]): string {
  if (kind === "inbox") return value.id;
  return value?.reason ?? "";
}
