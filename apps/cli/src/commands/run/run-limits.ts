import type { MessageInitShape } from "@bufbuild/protobuf";
import { type RunLimits, RunLimitsSchema } from "@stigmer/protos/agent/v1";
import { CliError } from "../../errors.ts";

/** The limits that can be set, as manifests name them. */
const names: readonly string[] = RunLimitsSchema.fields.map(({ jsonName }) => jsonName);

export interface RunLimitOptions {
  /** `name=value` each. */
  readonly limit: readonly string[];
  /** US dollars. */
  readonly budget?: number;
}

/** Reads `--limit` and `--budget`. Throws `CliError` `usage`. */
export function readRunLimits({
  limit,
  budget,
}: RunLimitOptions): MessageInitShape<typeof RunLimitsSchema> | undefined {
  const limits: MessageInitShape<typeof RunLimitsSchema> = Object.fromEntries(limit.map(readLimit));
  if (budget === undefined) return limit.length === 0 ? undefined : limits;
  if (limits.maxCostUsd !== undefined) {
    throw new CliError("usage", "--budget is --limit maxCostUsd: give one of them");
  }
  return { ...limits, maxCostUsd: budget };
}

function readLimit(text: string): [name: keyof RunLimits, value: number] {
  const [name = "", value = ""] = text.split("=", 2);
  if (!names.includes(name)) {
    throw new CliError("usage", `--limit ${text}: there is no limit "${name}" (known: ${names.join(", ")})`);
  }
  const amount = Number(value);
  const whole = name === "maxCostUsd" || Number.isInteger(amount);
  if (value.trim() === "" || !(amount > 0) || amount > 2 ** 31 - 1 || !whole) {
    throw new CliError("usage", `--limit ${text}: give a ${whole ? "" : "whole "}number above 0, such as ${name}=10`);
  }
  return [name as keyof RunLimits, amount];
}
