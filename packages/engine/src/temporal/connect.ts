import { NativeConnection } from "@temporalio/worker";
import type { Logger } from "../engine.ts";
import { EngineError } from "../errors.ts";
import { errorCode, errorText, GRPC } from "./grpc-errors.ts";
import { quietRuntime } from "./quiet-runtime.ts";

/** How long Temporal may take to answer the first call, before it counts as away. */
const ANSWER_WITHIN_MS = 10_000;

export interface TemporalAddress {
  /** `host:port` of Temporal's frontend. */
  readonly address: string;
  readonly namespace: string;
}

/**
 * A connection that Temporal has answered on, to a namespace that is there. Throws `EngineError` in one line: `unavailable`
 * when nobody answers, `refused` when the namespace is not there or not for us.
 */
export async function connect({ address, namespace }: TemporalAddress, logger: Logger): Promise<NativeConnection> {
  quietRuntime(logger);
  const connection = await open(address);
  try {
    await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
    return connection;
  } catch (error) {
    await connection.close().catch(() => {});
    throw namespaceError({ address, namespace }, error);
  }
}

/** The native client takes its time with an address that swallows what is sent to it. */
async function open(address: string): Promise<NativeConnection> {
  const opening = NativeConnection.connect({ address });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no answer within ${String(ANSWER_WITHIN_MS / 1_000)} s`)),
      ANSWER_WITHIN_MS,
    );
  });
  try {
    return await Promise.race([opening, late]);
  } catch (error) {
    // One that comes after all is of no use to anybody.
    void opening.then((connection) => connection.close()).catch(() => {});
    throw unreachable(address, error);
  } finally {
    clearTimeout(timer);
  }
}

function namespaceError({ address, namespace }: TemporalAddress, error: unknown): EngineError {
  const code = errorCode(error);
  if (code === GRPC.notFound || code === GRPC.invalidArgument) {
    const message = `Temporal at ${address} has no namespace ${JSON.stringify(namespace)}; create it, or name another one.`;
    return new EngineError("refused", message, { cause: error });
  }
  if (code === GRPC.permissionDenied || code === GRPC.unauthenticated || code === GRPC.unimplemented) {
    const message = `Temporal at ${address} refused namespace ${JSON.stringify(namespace)} (${errorText(error)}); check the address and what it asks for.`;
    return new EngineError("refused", message, { cause: error });
  }
  return unreachable(address, error);
}

function unreachable(address: string, error: unknown): EngineError {
  const message = `Temporal can't be reached at ${address} (${errorText(error)}); check the address and that it runs.`;
  return new EngineError("unavailable", message, { cause: error });
}
