import { clone, create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type Client, type Transport } from "@connectrpc/connect";
import {
  type AgentExecution,
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
} from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";

/** A server that has what the contract's first tables have, and nothing more: no deltas, no filters, no page tokens. */
export interface OlderServer {
  readonly transport: Transport;
  readonly query: Client<typeof AgentExecutionQueryController>;
  /** The names of the methods that were called. */
  readonly called: string[];
  /** Stores a run, or what has become of it, and tells those who follow it. */
  set(id: string, run: { sessionId?: string; agentId?: string; phase?: ExecutionPhase; said?: string }): void;
  delete(id: string): void;
  /** Ends all streams, as a restart does. */
  restart(): void;
}

export function createOlderServer(): OlderServer {
  const runs = new Map<string, AgentExecution>();
  const called: string[] = [];
  let changed = Promise.withResolvers<void>();
  let epoch = 0;

  const tell = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const find = (id: string): AgentExecution => {
    const run = runs.get(id);
    if (!run) throw new ConnectError(`${id} does not exist`, Code.NotFound);
    // What a stream gave stays as it was.
    return clone(AgentExecutionSchema, run);
  };
  const list = (filter: (run: AgentExecution) => boolean): AgentExecution[] =>
    [...runs.keys()].sort().toReversed().map(find).filter(filter);

  const transport = createRouterTransport((router) => {
    router.service(AgentExecutionCommandController, {
      updateStatus: ({ executionId, status }) => {
        called.push("updateStatus");
        const run = find(executionId);
        run.status = status;
        runs.set(executionId, run);
        tell();
        return run;
      },
    });
    router.service(AgentExecutionQueryController, {
      get: ({ value }) => {
        called.push("get");
        return find(value);
      },
      list: ({ phase, pageSize }) => {
        called.push("list");
        return { entries: list(({ status }) => phase === 0 || status?.phase === phase).slice(0, pageSize || 50) };
      },
      listBySession: ({ sessionId }) => {
        called.push("listBySession");
        return { entries: list(({ spec }) => spec?.sessionId === sessionId) };
      },
      async *subscribe({ value }) {
        called.push("subscribe");
        const begun = epoch;
        for (;;) {
          const run = find(value);
          const next = changed.promise;
          yield run;
          if (run.status && isTerminal(run.status.phase)) return;
          await next;
          if (begun !== epoch) throw new ConnectError("restarting", Code.Unavailable);
        }
      },
    });
  });

  return {
    transport,
    query: createClient(AgentExecutionQueryController, transport),
    called,
    set: (id, { sessionId, agentId, phase = ExecutionPhase.EXECUTION_IN_PROGRESS, said = "" }) => {
      const before = runs.get(id)?.spec;
      const messages = said === "" ? [] : [{ id: "m", type: MessageType.MESSAGE_AI, content: said }];
      runs.set(
        id,
        create(AgentExecutionSchema, {
          metadata: { id, name: id },
          spec: { sessionId: sessionId ?? before?.sessionId, agentId: agentId ?? before?.agentId, message: "x" },
          status: create(AgentExecutionStatusSchema, { phase, messages }),
        }),
      );
      tell();
    },
    delete: (id) => {
      runs.delete(id);
      tell();
    },
    restart: () => {
      epoch += 1;
      tell();
    },
  };
}
