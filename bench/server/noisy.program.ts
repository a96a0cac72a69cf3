// An organisation that takes what it can get: many connections, each with calls that follow at once on any answer.
import { constants, setPriority } from "node:os";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { serve } from "./program.ts";
import type { Access } from "./raw-watch.ts";

export interface Flooded {
  /** Calls that were answered with what was asked for, and runs among them. */
  readonly taken: number;
  readonly runs: number;
  /** Calls that were refused as too many. */
  readonly refused: number;
}

export type Noisy = {
  readonly open: (input: Access & { readonly connections: number; readonly callsEach: number }) => Promise<void>;
  readonly begin: () => Promise<void>;
  /** Resolves when no call is under way any more, with what there was since `begin`. */
  readonly end: () => Promise<Flooded>;
};

type Ask = (turn: number) => Promise<"run" | "call">;

let asks: readonly Ask[] = [];
let going = false;
let flood: Promise<void>[] = [];
let count = { taken: 0, runs: 0, refused: 0 };

// It is another machine's in earnest: what it does itself is not to be noticed, but what the server does for it.
setPriority(constants.priority.PRIORITY_LOW);

const methods: Noisy = {
  async open({ endpoint, apiKey, connections, callsEach }) {
    const baseUrl = `http://${endpoint}`;
    const headers = { authorization: `Bearer ${apiKey}` };
    const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "noisy" } };
    const agent = await createClient(AgentCommandController, createGrpcTransport({ baseUrl })).apply(
      { ...header, kind: "Agent", spec: { instructions: "Do what the person asks." } },
      { headers },
    );
    const agentId = agent.metadata?.id ?? "";
    asks = Array.from({ length: connections }, (): Ask[] => {
      const transport = createGrpcTransport({ baseUrl });
      const agents = createClient(AgentQueryController, transport);
      const runs = createClient(AgentExecutionCommandController, transport);
      const lists = createClient(AgentExecutionQueryController, transport);
      const ask: Ask = async (turn) => {
        if (turn % 2 === 0) {
          await runs.create({ ...header, kind: "AgentExecution", spec: { agentId, message: "Go." } }, { headers });
          return "run";
        }
        if (turn % 4 === 1) await lists.list({ pageSize: 20 }, { headers });
        else await agents.get({ value: agentId }, { headers });
        return "call";
      };
      return Array.from({ length: callsEach }, () => ask);
    }).flat();
  },
  async begin() {
    going = true;
    count = { taken: 0, runs: 0, refused: 0 };
    flood = asks.map(async (ask, index) => {
      for (let turn = index; going; turn++) {
        try {
          if ((await ask(turn)) === "run") count.runs += 1;
          count.taken += 1;
        } catch (error) {
          if (ConnectError.from(error).code !== Code.ResourceExhausted) throw error;
          count.refused += 1;
        }
      }
    });
  },
  async end() {
    going = false;
    await Promise.all(flood);
    return count;
  },
};
serve(methods);
