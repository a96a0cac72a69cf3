import { deflateRawSync, inflateRawSync } from "node:zlib";

/** A value as LangGraph's serialiser gives it. */
export interface Serialised {
  readonly type: string;
  readonly value: Uint8Array;
}

/** Stands before the type of a value that `unpack` has to read. With another dictionary it would have to be another one. */
const prefix = "z1+";

/** What is shorter is not worth the call. */
const LEAST_BYTES = 96;

/** What is longer is written as it is: packing it would hold up everything else that the process does for milliseconds. */
const MOST_BYTES = 64 * 1_024;

/**
 * What LangGraph and LangChain write again and again: most of a short message is names. Never to be changed, since what was
 * packed with it can't be read with another.
 */
const dictionary = Buffer.from(
  [
    '{"type":"reasoning","summary":[{"type":"thinking","signature":"","encrypted_content":"","finish_reason":"stop","model_provider":"openai",',
    '"model_name":"gpt-","system_fingerprint":"fp_","service_tier":"default","object":"response","incomplete_details":null,"function_call":{"arguments":"{\\"',
    '"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"inference_geo":"","description":"","subagent_type":"',
    '"pattern":"","old_string":"","new_string":"","offset":,"limit":,"read_file","write_todos","status":"in_progress","status":"pending","status":"error",',
    '[{"lc":1,"type":"constructor","id":["langchain_core","messages","HumanMessage"],"kwargs":{"id":"aex-01',
    '","content":"","additional_kwargs":{},"response_metadata":{}}},',
    '[{"lc":1,"type":"constructor","id":["langchain_core","messages","ToolMessage"],"kwargs":{"content":"\\n\\nExit code: 0","artifact":{"exitCode":0,"durationMs":,"truncated":false,"reason":{"lc":2,"type":"undefined"}},',
    '"content":"Successfully wrote to \'","tool_call_id":"toolu_01","tool_call_id":"call_","name":"","metadata":{"lc":2,"type":"undefined"},"status":"success","additional_kwargs":{},"response_metadata":{},"id":"run-01a2-7-tool-toolu_01',
    '"}},{"lc":1,"type":"constructor","id":["langchain_core","messages","AIMessageChunk"],"kwargs":{"content":[{"index":0,"type":"text","text":"',
    '"},{"index":1,"type":"tool_use","id":"toolu_01","name":"execute","input":""},{"index":1,"input":"{\\"command\\":\\"\\",\\"file_path\\":\\"content\\":\\"\\"}","type":"input_json_delta"}],',
    '"additional_kwargs":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-5","stop_reason":"tool_use","stop_reason":"end_turn","stop_sequence":null},',
    '"response_metadata":{"model_provider":"anthropic","usage":{"cache_creation_input_tokens":0,"cache_read_input_tokens":0}},"tool_call_chunks":[],"tool_calls":[],"tool_call_chunks":[{"id":"toolu_01","index":0,"name":"write_file","args":"{\\"command\\":\\"\\"}"}],"tool_calls":[{"name":"execute","args":{"file_path":"","content":""},"id":"toolu_01","type":"tool_call"}],"id":"msg_01',
    '","usage_metadata":{"input_tokens":,"output_tokens":,"total_tokens":,"input_token_details":{"cache_read":0,"cache_creation":0},"output_token_details":{}},"invalid_tool_calls":[],"name":"main"}}]',
    '{"checkpoint":{"v":4,"ts":"2026-11-01T00:00:00.000Z","channel_versions":{"__start__":2,"messages":,"inbox":,"branch:to:model_request":,"__pregel_tasks":},"versions_seen":{"__input__":{},"__start__":{"__start__":1},"model_request":{"branch:to:model_request":},"tools":{}}},',
    '"metadata":{"source":"loop","step":,"parents":{}},"values":{"files":{},"todos":[],"__pregel_tasks":[]},"undefined":["jumpTo","_summarizationSessionId","_summarizationEvent","structuredResponse"],"rows":["messages"],"parent":"1f1-',
    '","sends":[{"send":{"node":"tools","args":{"files":{},"_summarizationSessionId":{"lc":2,"type":"undefined"},"_summarizationEvent":{"lc":2,"type":"undefined"},"todos":[],"lg_tool_call":{"name":"execute","args":{"command":"","id":"toolu_01","type":"tool_call"}}},"shared":["messages"]}]}',
  ].join(""),
);

/** The dictionary and little more: the packer takes its memory anew with each call, which is what a call costs most for. */
const windowBits = 12;
const packing = { level: 1, windowBits, memLevel: 2, chunkSize: 1_024, dictionary } as const;
const unpacking = { windowBits, chunkSize: 4_096, dictionary } as const;

/** Says the same in fewer bytes, where that is worth it. */
export function pack({ type, value }: Serialised): Serialised {
  if (value.byteLength < LEAST_BYTES || value.byteLength > MOST_BYTES) return { type, value };
  const packed = deflateRawSync(value, packing);
  return packed.byteLength < value.byteLength ? { type: prefix + type, value: packed } : { type, value };
}

/** The other way; also for what was never packed. Throws for bytes that `pack` did not make. */
export function unpack({ type, value }: Serialised): Serialised {
  if (!type.startsWith(prefix)) return { type, value };
  return { type: type.slice(prefix.length), value: inflateRawSync(value, unpacking) };
}
