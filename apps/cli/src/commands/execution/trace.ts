import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { createPaint, type Paint } from "../../output/colors.ts";
import { formatDuration } from "../../output/durations.ts";
import { oneLine } from "../../output/plain-text.ts";
import { findKind, findResource } from "../../resources/kinds.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { formatCost } from "../../output/run-view/run-summary.ts";
import { type Span, traceOf } from "./trace-tree.ts";

export interface TraceOptions {
  readonly id: string;
  readonly output: "text" | "json";
}

/** Shows a run as a tree of what it was made of. */
export async function executionTrace({ id, output }: TraceOptions, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const execution = (await findResource(client, findKind("execution"), id)) as AgentExecution;
    const root = traceOf(execution);
    if (output === "json") io.stdout.write(`${JSON.stringify(root, undefined, 2)}\n`);
    else io.stdout.write(`${draw(root, createPaint(io.stdout, io.env)).join("\n")}\n`);
  });
}

function draw(span: Span, paint: Paint): string[] {
  const { name, state, startMs, durationMs, tokens = 0, costMicroUsd = 0, spans } = span;
  const facts = [
    state,
    startMs === undefined ? "" : `at ${formatDuration(startMs)}`,
    durationMs === undefined ? "" : formatDuration(durationMs),
    tokens === 0 ? "" : `${tokens.toLocaleString("en-US")} tokens`,
    costMicroUsd === 0 ? "" : `about ${formatCost(costMicroUsd)}`,
  ].filter(Boolean);
  const below = spans.flatMap((each, at) => {
    const isLast = at === spans.length - 1;
    const [first = "", ...others] = draw(each, paint);
    const lead = (sign: string): string => paint("dim", sign);
    return [
      `${lead(isLast ? "└─ " : "├─ ")}${first}`,
      ...others.map((line) => `${lead(isLast ? "   " : "│  ")}${line}`),
    ];
  });
  return [`${oneLine(name)}  ${paint("dim", facts.join(" · "))}`.trimEnd(), ...below];
}
