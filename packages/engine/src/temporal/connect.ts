import { readFile } from "node:fs/promises";
import type { TLSConfig } from "@temporalio/client";
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
  /** Absent: Temporal is spoken to in clear. */
  readonly tls?: TemporalTls;
  /** Sent with every call, over TLS alone. A secret. */
  readonly apiKey?: string;
}

/** Paths of PEM files. They are read when the connection is opened: a renewed certificate is shown after a restart. */
export interface TemporalTls {
  /** Who signs Temporal's certificate. Default: whom this machine trusts. */
  readonly caFile?: string;
  /** By what this process shows who it is; with `keyFile`. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** The same in the words of Temporal's packages. Throws `EngineError` `invalid-argument` for a file that can't be read. */
export async function accessOf({ tls, apiKey }: Pick<TemporalAddress, "tls" | "apiKey">): Promise<{
  readonly tls?: TLSConfig;
  readonly apiKey?: string;
}> {
  if (!tls) {
    if (apiKey) throw new EngineError("invalid-argument", "An API key for Temporal is sent over TLS alone: use TLS.");
    return {};
  }
  const { caFile, certFile, keyFile } = tls;
  const [ca, crt, key] = await Promise.all([caFile, certFile, keyFile].map((path) => path && readPem(path)));
  return {
    tls: {
      ...(ca && { serverRootCACertificate: ca }),
      ...(crt && key && { clientCertPair: { crt, key } }),
    },
    ...(apiKey && { apiKey }),
  };
}

async function readPem(path: string): Promise<Buffer> {
  const content = await readFile(path).catch((cause: unknown) => {
    const message = `The file ${path} for TLS with Temporal can't be read (${errorText(cause)}); name one that this process may read.`;
    throw new EngineError("invalid-argument", message, { cause });
  });
  if (content.includes("-----BEGIN ")) return content;
  const message = `The file ${path} for TLS with Temporal holds nothing in PEM; name one that begins with -----BEGIN.`;
  throw new EngineError("invalid-argument", message);
}

/**
 * A connection that Temporal has answered on, to a namespace that is there. Throws `EngineError` in one line: `unavailable`
 * when nobody answers, `refused` when the namespace is not there or not for us.
 */
export async function connect(target: TemporalAddress, logger: Logger): Promise<NativeConnection> {
  const { namespace } = target;
  quietRuntime(logger);
  const connection = await open(target);
  try {
    await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
    return connection;
  } catch (error) {
    await connection.close().catch(() => {});
    throw namespaceError(target, error);
  }
}

/** The native client takes its time with an address that swallows what is sent to it. */
async function open(target: TemporalAddress): Promise<NativeConnection> {
  const { address } = target;
  const opening = NativeConnection.connect({ address, ...(await accessOf(target)) });
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
    throw unreachable(target, error);
  } finally {
    clearTimeout(timer);
  }
}

function namespaceError(target: TemporalAddress, error: unknown): EngineError {
  const { address, namespace } = target;
  const code = errorCode(error);
  if (code === GRPC.notFound || code === GRPC.invalidArgument) {
    const message = `Temporal at ${address} has no namespace ${JSON.stringify(namespace)}; create it, or name another one.`;
    return new EngineError("refused", message, { cause: error });
  }
  if (code === GRPC.permissionDenied || code === GRPC.unauthenticated || code === GRPC.unimplemented) {
    const message = `Temporal at ${address} refused namespace ${JSON.stringify(namespace)} (${errorText(error)}); check the address and what it asks for.`;
    return new EngineError("refused", message, { cause: error });
  }
  return unreachable(target, error);
}

function unreachable({ address, tls }: TemporalAddress, error: unknown): EngineError {
  const advice = tls
    ? "check the address, that it runs and speaks TLS, and that its certificate is one that is trusted here and names this host"
    : "check the address and that it runs";
  const message = `Temporal can't be reached at ${address}${tls ? " over TLS" : ""} (${errorText(error)}); ${advice}.`;
  return new EngineError("unavailable", message, { cause: error });
}
