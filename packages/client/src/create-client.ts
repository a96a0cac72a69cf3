import { createResourceClients, defaultsOf, type OrgOptions, type ResourceClients } from "./resource-clients.ts";
import { createRunnerClient, type RunnerClient } from "./runner.ts";
import { openTransport, toBaseUrl, type TransportOptions } from "./transport.ts";
import { withFence, type Fence } from "./with-fence.ts";

/** The clients over one connection. */
export interface StigmerClient extends ResourceClients, Disposable {
  /** What runners say to the server, besides taking work, which is the engine's. */
  readonly runner: RunnerClient;
  /** The same, for a runner that holds the fence of an execution: its calls see secrets in clear. */
  underFence(fence: Fence): ResourceClients;
  /** Ends the connection; calls in flight fail with `cancelled` or `unavailable`. */
  close(): void;
}

export type ClientOptions = TransportOptions & OrgOptions;

/** Opens no connection before the first call. */
export function createClient(options: ClientOptions): StigmerClient {
  const { transport, close } = openTransport(options);
  const defaults = defaultsOf(options, toBaseUrl(options.endpoint));
  return {
    ...createResourceClients(transport, defaults),
    runner: createRunnerClient(transport, options),
    underFence: (fence) => createResourceClients(withFence(transport, fence), defaults),
    close,
    [Symbol.dispose]: close,
  };
}
