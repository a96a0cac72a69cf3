import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExecutionUsage, ExecutionUsageSchema } from "@stigmer/protos/agentexecution/v1";

type Counts = Omit<ExecutionUsage, "$typeName" | "$unknown">;

/** What the run, or one sub-agent, has consumed, and when it was at work and silent. Times are milliseconds since 1970. */
export interface Meter {
  readonly counts: Counts;
  /** Time at work before it began again last. */
  readonly before: number;
  /** Since when it is at work again. */
  readonly since: number;
  /** When something of it was shown last. */
  shown: number;
  /** Whether counts have changed that the status does not say yet. */
  changed: boolean;
  costMicroUsd: number;
}

/** A meter that begins to work now and goes on with what was counted before. */
export function createMeter(stored: ExecutionUsage | undefined, now: number): Meter {
  const counts: Counts = {
    inputTokens: stored?.inputTokens ?? 0,
    outputTokens: stored?.outputTokens ?? 0,
    cachedInputTokens: stored?.cachedInputTokens ?? 0,
    reasoningTokens: stored?.reasoningTokens ?? 0,
    modelCalls: stored?.modelCalls ?? 0,
    toolCalls: stored?.toolCalls ?? 0,
    costMicroUsd: stored?.costMicroUsd ?? 0,
    timeToFirstTokenMs: stored?.timeToFirstTokenMs ?? 0,
    longestSilenceMs: stored?.longestSilenceMs ?? 0,
    activeMs: stored?.activeMs ?? 0,
  };
  return { counts, before: counts.activeMs, since: now, shown: now, changed: false, costMicroUsd: counts.costMicroUsd };
}

/** Something of it is shown: a silence ends. */
export function show(meter: Meter, now: number): void {
  meter.counts.longestSilenceMs = Math.max(meter.counts.longestSilenceMs, count(now - meter.shown));
  meter.shown = now;
}

/** A model said or thought something. The first time counts from the start of the work, and is at least a millisecond. */
export function hearFirst(meter: Meter, now: number): void {
  meter.counts.timeToFirstTokenMs ||= Math.max(1, activeAt(meter, now));
}

/** All that it counted until now, as the status says it. */
export function readMeter(meter: Meter, now: number): MessageInitShape<typeof ExecutionUsageSchema> {
  show(meter, now);
  meter.changed = false;
  meter.counts.costMicroUsd = count(meter.costMicroUsd);
  meter.counts.activeMs = activeAt(meter, now);
  return { ...meter.counts };
}

function activeAt({ before, since }: Meter, now: number): number {
  return count(before + Math.max(0, now - since));
}

/** As the wire has it: whole, not negative, 32 bits. */
function count(value: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.round(value) || 0));
}
