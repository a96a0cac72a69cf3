import type { MessageInitShape } from "@bufbuild/protobuf";
import { type RunLimits, RunLimitsSchema } from "@stigmer/protos/agent/v1";
import { CliError } from "../../errors.ts";

/** The limits that can be set, as manifests name them. */
const names: readonly string[] = RunLimitsSchema.fields.map(({ jsonName }) => jsonName);

/** Reads `name=value` pairs. Throws `CliError` `usage`. */
export function readRunLimits(given: readonly string[]): MessageInitShape<typeof RunLimitsSchema> | undefined {
  if (given.length === 0) return undefined;
  return Object.fromEntries(given.map(readLimit));
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
