import type { Interceptor } from "@connectrpc/connect";
import { FENCE_HEADER } from "./transport.ts";

/** A runner's hold on one execution: the server counts the fence up whenever the run goes to another runner. */
export interface Fence {
  readonly executionId: string;
  readonly fence: number;
}

/** Says with every call under which fence it is made. The server gives secrets in clear to the present holder only. */
export function withFence({ executionId, fence }: Fence): Interceptor {
  return (next) => (request) => {
    request.header.set(FENCE_HEADER, `${executionId}/${fence}`);
    return next(request);
  };
}
