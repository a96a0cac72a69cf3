import { z } from "zod";
import type { RunNotice } from "../fanout.ts";

/** A notice on its way through Redis: who sent it, so that its sender does not hear it twice. */
export interface FanoutMessage {
  readonly from: string;
  readonly notice: RunNotice;
}

const header = z.object({
  v: z.literal(1),
  from: z.string(),
  kind: z.enum(["created", "changed", "deleted", "ordered"]),
  id: z.string(),
  org: z.string(),
  session: z.string(),
  agent: z.string(),
  revision: z.number(),
  summary: z.boolean(),
  amended: z.boolean(),
  delta: z.boolean(),
});

/** One line of JSON, and behind it the delta as it is. */
export function encodeMessage({ from, notice }: FanoutMessage): Buffer {
  const { kind, executionId: id, org, sessionId: session, agentId: agent, revision, amended, delta } = notice;
  const said: z.infer<typeof header> = {
    v: 1,
    from,
    kind,
    id,
    org,
    session,
    agent,
    revision,
    summary: notice.summaryChanged,
    amended,
    delta: delta !== undefined,
  };
  const line = Buffer.from(`${JSON.stringify(said)}\n`);
  return delta ? Buffer.concat([line, delta]) : line;
}

/** Undefined for what no server of this version sends. */
export function decodeMessage(message: Buffer): FanoutMessage | undefined {
  const end = message.indexOf(0x0a);
  if (end === -1) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(message.toString("utf8", 0, end));
  } catch {
    return undefined;
  }
  const parsed = header.safeParse(json);
  if (!parsed.success) return undefined;
  const { from, kind, id, org, session, agent, revision, summary, amended, delta } = parsed.data;
  const notice = {
    kind,
    executionId: id,
    org,
    sessionId: session,
    agentId: agent,
    revision,
    summaryChanged: summary,
    amended,
    delta: delta ? message.subarray(end + 1) : undefined,
  };
  return { from, notice };
}
