import type { Values } from "./read-variables.ts";

/** Temporal keeps the runs. */
export interface TemporalEngine {
  readonly type: "temporal";
  /** `host:port` of Temporal's frontend. */
  readonly address: string;
  readonly namespace: string;
  /** Absent: Temporal is spoken to in clear. */
  readonly tls?: TemporalTls;
  /** A secret. Only there with `tls`. */
  readonly apiKey?: string;
}

/** Paths of PEM files. */
export interface TemporalTls {
  /** Default: what this machine trusts. */
  readonly caFile?: string;
  /** Both, or neither. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** What keeps runs alive over crashes: the queue inside the server, or Temporal. */
export type Engine = { readonly type: "embedded" } | TemporalEngine;

type LocalValues = Pick<
  Values<"local", "server">,
  "STIGMER_ENGINE" | "TEMPORAL_SERVICE_ADDRESS" | "TEMPORAL_NAMESPACE" | AccessName
>;

type CloudValues = Pick<Values<"cloud", "server">, "TEMPORAL_SERVICE_ADDRESS" | "TEMPORAL_NAMESPACE" | AccessName>;

type AccessName =
  | "TEMPORAL_TLS"
  | "TEMPORAL_TLS_CA_FILE"
  | "TEMPORAL_TLS_CERT_FILE"
  | "TEMPORAL_TLS_KEY_FILE"
  | "TEMPORAL_API_KEY";

/** Temporal when its address is known, unless the embedded engine is asked for. Temporal without an address was refused by the rules. */
export function localEngine(values: LocalValues): Engine {
  const { STIGMER_ENGINE: type, TEMPORAL_SERVICE_ADDRESS: address, TEMPORAL_NAMESPACE: namespace } = values;
  if (type === "embedded" || address === undefined) return { type: "embedded" };
  return { type: "temporal", address, namespace, ...accessOf(values) };
}

export function cloudEngine(values: CloudValues): TemporalEngine {
  const { TEMPORAL_SERVICE_ADDRESS: address, TEMPORAL_NAMESPACE: namespace } = values;
  return { type: "temporal", address, namespace, ...accessOf(values) };
}

/** Whoever names a certificate or a key wants TLS. That nobody wants it and forbids it is seen to by the rules. */
function accessOf(values: Pick<LocalValues, AccessName>): Pick<TemporalEngine, "tls" | "apiKey"> {
  const { TEMPORAL_TLS_CA_FILE: caFile, TEMPORAL_TLS_CERT_FILE: certFile, TEMPORAL_TLS_KEY_FILE: keyFile } = values;
  const { TEMPORAL_TLS: asked, TEMPORAL_API_KEY: apiKey } = values;
  if (asked !== "true" && !caFile && !certFile && !apiKey) return {};
  const tls = { ...(caFile && { caFile }), ...(certFile && keyFile && { certFile, keyFile }) };
  return { tls, ...(apiKey && { apiKey }) };
}
