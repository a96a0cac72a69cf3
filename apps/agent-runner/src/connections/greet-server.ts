import { setTimeout as sleep } from "node:timers/promises";
import { ClientError, type RunnerClient, tlsTroubleOf } from "@stigmer/client";
import { OLDEST_RUNNER_PROTOCOL, RUNNER_PROTOCOL } from "@stigmer/engine";

export interface GreetServerOptions {
  readonly runner: Pick<RunnerClient, "hello">;
  readonly runnerId: string;
  readonly version: string;
  readonly engine: "embedded" | "temporal";
  /** As people know the server: `localhost:50051`. */
  readonly endpoint: string;
  /** Milliseconds that a server which starts beside its runner gets. */
  readonly waitMs: number;
  /** Aborted when the runner is told to end. */
  readonly signal: AbortSignal;
  readonly clock: () => number;
}

/** Why this runner can't work with that server. */
export type Mismatch =
  /** It was not reached, or turns this runner away. */
  | { readonly kind: "unreachable"; readonly reason: string }
  /** The two don't fit. */
  | { readonly kind: "unfit"; readonly reason: string };

const RETRY_MS = 200;
const TLS_ADVICE =
  "STIGMER_TLS_CA_FILE names who vouches for a certificate, https:// in STIGMER_BACKEND_ENDPOINT asks for TLS";
// Fences, leases and a status's times are compared across machines: a minute apart they lie.
const MOST_SKEW_MS = 60_000;

/**
 * Says hello, and finds out whether the two fit: protocol, engine, clocks. A server of before hello fits. Resolves with nothing
 * when all is well, or when `signal` aborts.
 */
export async function greetServer(options: GreetServerOptions): Promise<Mismatch | undefined> {
  const { runner, runnerId, version, signal, clock } = options;
  const late = AbortSignal.timeout(options.waitMs);
  const waiting = AbortSignal.any([signal, late]);
  while (true) {
    const asked = clock();
    try {
      const answer = await runner.hello({ runnerId, version, protocol: RUNNER_PROTOCOL }, waiting);
      const reason = misfit(answer, (asked + clock()) / 2, options);
      return reason === undefined ? undefined : { kind: "unfit", reason };
    } catch (cause) {
      if (signal.aborted) return undefined;
      const trouble = tlsTroubleOf(cause);
      if (trouble !== undefined) return { kind: "unreachable", reason: `${trouble}; ${TLS_ADVICE}` };
      const error = ClientError.from(cause, "stigmer-server");
      if (error.code === "unimplemented") return undefined;
      if (error.code === "failed-precondition") return { kind: "unfit", reason: error.message };
      if (error.code !== "unavailable" && !late.aborted) return { kind: "unreachable", reason: error.message };
    }
    await sleep(RETRY_MS, undefined, { signal: waiting }).catch(() => {});
    if (signal.aborted) return undefined;
    if (late.aborted) {
      const reason = `no answer within ${options.waitMs / 1000} s. Start it with \`stigmer local start\`, or set STIGMER_BACKEND_ENDPOINT (https://… where it speaks TLS).`;
      return { kind: "unreachable", reason };
    }
  }
}

type Hello = Awaited<ReturnType<RunnerClient["hello"]>>;

function misfit(hello: Hello, now: number, { version, engine, endpoint }: GreetServerOptions): string | undefined {
  const server = `stigmer-server ${hello.version} at ${endpoint}`;
  if (hello.oldestProtocol > RUNNER_PROTOCOL) {
    return `this runner (${version}) is too old for ${server}: it speaks protocol ${RUNNER_PROTOCOL}, the server ${hello.oldestProtocol} and later; upgrade the runner`;
  }
  if (hello.protocol < OLDEST_RUNNER_PROTOCOL) {
    return `${server} is too old for this runner (${version}): it speaks protocol ${hello.protocol}, the runner ${OLDEST_RUNNER_PROTOCOL} and later; upgrade the server`;
  }
  if (hello.engine !== "" && hello.engine !== engine) {
    const change =
      hello.engine === "temporal"
        ? "set TEMPORAL_SERVICE_ADDRESS, and STIGMER_ENGINE=temporal, for the runner"
        : "unset TEMPORAL_SERVICE_ADDRESS, or set STIGMER_ENGINE=embedded, for the runner";
    return `${server} keeps its runs by ${nameOf(hello.engine)}, this runner is set up for ${nameOf(engine)}; ${change}, or change the server`;
  }
  const ahead = now - Date.parse(hello.time);
  if (Math.abs(ahead) > MOST_SKEW_MS) {
    return `this machine's clock is ${duration(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} that of ${server}; set the wrong one right (NTP), then start the runner again`;
  }
  return undefined;
}

function nameOf(engine: string): string {
  return engine === "temporal" ? "Temporal" : `the ${engine} engine`;
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
