import type { Values } from "./read-variables.ts";

/** Temporal keeps the runs. */
export interface TemporalEngine {
  readonly type: "temporal";
  /** `host:port` of Temporal's frontend. */
  readonly address: string;
  readonly namespace: string;
}

/** What keeps runs alive over crashes: the queue inside the server, or Temporal. */
export type Engine = { readonly type: "embedded" } | TemporalEngine;

type LocalValues = Pick<
  Values<"local", "server">,
  "STIGMER_ENGINE" | "TEMPORAL_SERVICE_ADDRESS" | "TEMPORAL_NAMESPACE"
>;

type CloudValues = Pick<Values<"cloud", "server">, "TEMPORAL_SERVICE_ADDRESS" | "TEMPORAL_NAMESPACE">;

/** Temporal when its address is known, unless the embedded engine is asked for. Temporal without an address was refused by the rules. */
export function localEngine(values: LocalValues): Engine {
  const { STIGMER_ENGINE: type, TEMPORAL_SERVICE_ADDRESS: address, TEMPORAL_NAMESPACE: namespace } = values;
  return type === "embedded" || address === undefined ? { type: "embedded" } : { type: "temporal", address, namespace };
}

export function cloudEngine(values: CloudValues): TemporalEngine {
  return { type: "temporal", address: values.TEMPORAL_SERVICE_ADDRESS, namespace: values.TEMPORAL_NAMESPACE };
}
