import type { Transport } from "@connectrpc/connect";

/** Milliseconds until a unary call is given up where the client says nothing else. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/** Connect's own default deadline would end long-lived streams too. */
export function withUnaryDeadline(transport: Transport, deadlineMs: number = DEFAULT_TIMEOUT_MS): Transport {
  return {
    unary: (...[method, signal, timeoutMs, ...rest]) =>
      transport.unary(method, signal, timeoutMs ?? deadlineMs, ...rest),
    stream: (...args) => transport.stream(...args),
  };
}
