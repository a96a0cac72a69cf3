import type { Transport } from "@connectrpc/connect";

/** A runner's hold on one execution: the server counts the fence up whenever the run goes to another runner. */
export interface Fence {
  readonly executionId: string;
  readonly fence: number;
}

/** The header that says under which fence a call is made: `<execution id>/<fence>`. */
const FENCE_HEADER = "stigmer-fence";

/** For one call. */
export function fenceHeaders({ executionId, fence }: Fence): Record<string, string> {
  return { [FENCE_HEADER]: `${executionId}/${fence}` };
}

/** Says with every call under which fence it is made: the server gives secrets in clear to the present holder only. */
export function withFence(transport: Transport, { executionId, fence }: Fence): Transport {
  const fenced = (header: ConstructorParameters<typeof Headers>[0]): Headers => {
    const headers = new Headers(header);
    headers.set(FENCE_HEADER, `${executionId}/${fence}`);
    return headers;
  };
  return {
    unary: (...[method, signal, timeoutMs, header, ...rest]) =>
      transport.unary(method, signal, timeoutMs, fenced(header), ...rest),
    stream: (...[method, signal, timeoutMs, header, ...rest]) =>
      transport.stream(method, signal, timeoutMs, fenced(header), ...rest),
  };
}
