import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "@stigmer/protos/google/rpc";

/**
 * After how many milliseconds a server that refused a call for its number would take it; undefined where it said nothing of it.
 * Nothing of such a call was done, so it may be made again whatever it is.
 */
export function retryDelayOf(error: unknown): number | undefined {
  if (!(error instanceof ConnectError) || error.code !== Code.ResourceExhausted) return undefined;
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && durationMs(delay);
}
