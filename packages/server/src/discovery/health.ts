import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { HealthCheckResponse_ServingStatus as ServingStatus, type Health } from "@stigmer/protos/grpc/health/v1";

/** The server's own state as grpc.health.v1 tells it. */
export interface HealthState {
  /** From now on NOT_SERVING, so that load balancers look elsewhere while calls in flight end. */
  drain(): void;
  readonly service: ServiceImpl<typeof Health>;
}

/** `services` are the full names that can be asked about; the empty name is the server as a whole. */
export function createHealth(services: readonly string[]): HealthState {
  const known = new Set(["", ...services]);
  const draining = new AbortController();
  const status = (): ServingStatus => (draining.signal.aborted ? ServingStatus.NOT_SERVING : ServingStatus.SERVING);

  return {
    drain: () => draining.abort(),
    service: {
      check({ service }) {
        if (!known.has(service)) throw new ConnectError(`no service ${service} here`, Code.NotFound);
        return { status: status() };
      },
      async *watch({ service }, context) {
        if (!known.has(service)) {
          yield { status: ServingStatus.SERVICE_UNKNOWN };
          return;
        }
        yield { status: status() };
        if (draining.signal.aborted) return;
        await firstAbort(context.signal, draining.signal);
        if (draining.signal.aborted) yield { status: status() };
      },
    },
  };
}

function firstAbort(...signals: AbortSignal[]): Promise<void> {
  const any = AbortSignal.any(signals);
  return new Promise((resolve) => {
    if (any.aborted) resolve();
    else any.addEventListener("abort", () => resolve(), { once: true });
  });
}
