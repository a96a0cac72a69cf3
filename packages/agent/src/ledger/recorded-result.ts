import { ToolMessage } from "@langchain/core/messages";
import { Command, isCommand } from "@langchain/langgraph";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";

/** What a tool call gives the graph. */
export type ToolResult = ToolMessage | Command;

/** Results as a ledger keeps them. */
export interface ResultForm {
  write(result: ToolResult): Promise<Uint8Array>;
  read(bytes: Uint8Array): Promise<ToolResult>;
}

/** By the serialiser that the checkpoints are kept with: what it can't write down could not be part of the run anyway. */
export function createResultForm(serde: SerializerProtocol): ResultForm {
  return {
    async write(result) {
      // LangGraph's own form of a command leaves out its graph.
      const [type, bytes] = await serde.dumpsTyped(
        isCommand(result) ? { command: result, graph: result.graph } : result,
      );
      const name = new TextEncoder().encode(type);
      return Buffer.concat([Uint8Array.of(name.length), name, bytes]);
    },
    async read(bytes) {
      const start = 1 + (bytes[0] ?? 0);
      const type = new TextDecoder().decode(bytes.subarray(1, start));
      const value: unknown = await serde.loadsTyped(type, bytes.subarray(start));
      if (ToolMessage.isInstance(value)) return value;
      const { command, graph } = value as { command: Command; graph?: string };
      return new Command({ ...command, graph });
    },
  };
}
