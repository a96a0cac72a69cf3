// The one function that names drivers: store, engine, listener. Everything below takes ports.
import type { ConnectRouter } from "@connectrpc/connect";
import { DEFAULT_ACTIVITY_QUEUE } from "@stigmer/engine";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { Meters } from "@stigmer/telemetry";
import { Health } from "@stigmer/protos/grpc/health/v1";
import { ServerReflection } from "@stigmer/protos/grpc/reflection/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { join } from "node:path";
import { createAudit } from "./audit/create-audit.ts";
import type { OidcOptions } from "./auth/oidc.ts";
import { createHealth } from "./discovery/health.ts";
import { createReflection } from "./discovery/reflection.ts";
import { createRunStatuses } from "./executions/run-statuses.ts";
import { announceOrders } from "./fanout/announce-orders.ts";
import { announceRuns } from "./fanout/announce-runs.ts";
import type { Fanout } from "./fanout/fanout.ts";
import { type FanoutChoice, openFanout } from "./fanout/open-fanout.ts";
import { connectHandler } from "./http/connect-handler.ts";
import { openCertificate, type OpenCertificate, type TlsFiles } from "./http/certificate.ts";
import { endpointOf, isLoopback } from "./http/endpoint-of.ts";
import { listen, type Listener } from "./http/listen.ts";
import { readOrigins } from "./http/origins.ts";
import { refuseForeign } from "./http/refuse-foreign.ts";
import { shareWithOrigins } from "./http/share-with-origins.ts";
import { createClosing, shuttingDown } from "./executions/closing.ts";
import { authorize } from "./interceptors/authorize.ts";
import {
  apiKeyAuthenticator,
  authenticate,
  type Authenticator,
  inOrder,
  firstOf,
  localAuthenticator,
  principalOf,
  type RequestGate,
} from "./interceptors/principal.ts";
import { recheckStreams } from "./interceptors/recheck-streams.ts";
import { traceCalls } from "./interceptors/trace-calls.ts";
import { reportErrors, reportGateErrors } from "./interceptors/report-errors.ts";
import { validateRequests } from "./interceptors/validate.ts";
import { createCallAllowance } from "./limits/call-allowance.ts";
import { limitCalls } from "./limits/limit-calls.ts";
import { type OrganizationLimits, requireLimits } from "./limits/organization-limits.ts";
import { takeTurns } from "./limits/take-turns.ts";
import { loadOrCreateKeyFile } from "./key-file.ts";
import { silentLogger, type Logger } from "./logger.ts";
import { createCallCounts } from "./metrics/count-calls.ts";
import { createEntryCounts } from "./metrics/count-entries.ts";
import { describeServer } from "./metrics/describe-server.ts";
import { measureStore } from "./metrics/measure-store.ts";
import { createRetention } from "./retention/create-retention.ts";
import { createSecrets } from "./secrets/create-secrets.ts";
import { requireSameKey } from "./secrets/require-same-key.ts";
import type { EngineChoice, ServerMetrics } from "./open-engine.ts";
import { recoverEngine } from "./recover-engine.ts";
import { createApiKeyBook } from "./services/api-key-book.ts";
import { openStore, type StoreChoice } from "./open-store.ts";
import { API_SERVICES } from "./services/api-services.ts";
import { createServices } from "./services/create-services.ts";
import { createRunnerService } from "./services/runner.ts";
import type { Store } from "./store/store.ts";
import { version } from "./version.ts";

export interface StartServerOptions {
  /**
   * `local` (the default) serves this machine's user, on 127.0.0.1. `cloud` serves several organisations: who calls is told by an
   * API key or by one of `authenticators`, and sees its own organisation alone.
   */
  readonly mode?: "local" | "cloud";
  /** In local mode it holds `local.key`, which the server makes on its first start: who can read it may call. */
  readonly home: string;
  /** Holds the encryption key, and SQLite's database and skill artifacts. Default `<home>/data`. */
  readonly dataDir?: string;
  /** Where everything is kept. Default: SQLite, in `dataDir`. */
  readonly store?: StoreChoice;
  /** The address to listen on, in cloud mode. Default 127.0.0.1, which local mode never leaves. */
  readonly host?: string;
  /** What the server shows clients of, in cloud mode; read again when it changes. Default: it speaks plain text. */
  readonly tls?: TlsFiles;
  /** 0 takes any free port. Default 50051. */
  readonly port?: number;
  /** Who else than API keys tells callers by their bearer tokens; asked in this order, after the keys. Default none. */
  readonly authenticators?: readonly Authenticator[];
  /** Whose JSON Web Tokens are taken as well, in cloud mode. Default: nobody's. */
  readonly oidc?: OidcOptions;
  /** The 32 bytes that encrypt secrets at rest. Default: kept in `<dataDir>/encryption.key`, made on first use. */
  readonly encryptionKey?: Uint8Array;
  /** Also takes the literal `dummy-local-key` of older local clients. Default false. */
  readonly allowDummyKey?: boolean;
  /**
   * The origins whose web pages may call, as `https://app.example.com`: exactly these, and with a key as everyone. Default none.
   */
  readonly allowedOrigins?: readonly string[];
  /** Names, in lower case, that it is called by in local mode besides those of the loopback interface. Default none. */
  readonly allowedHosts?: readonly string[];
  /** The queue that runners take runs from. Default `agent_execution_runner`. */
  readonly taskQueue?: string;
  /** What keeps runs going over crashes. Default: the embedded engine. */
  readonly engine?: EngineChoice;
  /**
   * How servers that share a Postgres tell each other what happens; sharing takes Temporal as the engine. Default: this server is
   * the only one.
   */
  readonly fanout?: FanoutChoice;
  /** What one organization may take of a server that others use too. Default: as much as there is. */
  readonly limits?: OrganizationLimits;
  /** How long runs are kept after their end, and sessions after their last use, in days. Default: for ever. */
  readonly retentionDays?: number;
  /** How long entries of the audit log are kept, in days. Default 90. */
  readonly auditDays?: number;
  /** Default: says nothing. */
  readonly logger?: Logger;
  /** Where it counts what it does. Default: nothing is counted. */
  readonly meters?: Meters;
}

/** A server that takes calls. */
export interface RunningServer {
  readonly port: number;
  /** `<host>:<port>`, over TLS `https://<host>:<port>`, as clients of this machine want it. */
  readonly endpoint: string;
  /** The content of `local.key`. Empty in cloud mode, which has no such key. */
  readonly apiKey: string;
  /** The queue, its runners and the fan-out right now. */
  metrics(): Promise<ServerMetrics>;
  /** From now on its health says NOT_SERVING, so that load balancers look elsewhere; all calls are served as before, until `close`. */
  drain(): void;
  /** Tells watchers and runners to come back later, ends calls in flight, closes the store. Safe to call twice. */
  close(): Promise<void>;
  /** Resolves when it is closed; with the reason when it closed itself, because another server has taken its store over. */
  readonly closed: Promise<string | undefined>;
}

// Beyond the largest skill (100 MB zipped) and its framing.
const MAX_MESSAGE_BYTES = 110 * 1024 * 1024;

/** See `OrganizationLimits.maxCalls`. */
const MAX_CALLS = 3;

const LOOPBACK = "127.0.0.1";

// Of a call that needs no key: a service's name.
const MAX_PUBLIC_BYTES = 4096;

/**
 * Starts a server, for this machine's user or for organisations: SQLite or Postgres, embedded engine or Temporal, gRPC, gRPC-Web
 * and Connect on one port. Throws `ServerError` that says in one line what is in the way.
 */
export async function startServer(options: StartServerOptions): Promise<RunningServer> {
  const { home, mode = "local", dataDir = join(home, "data") } = options;
  const origins = readOrigins(options.allowedOrigins ?? []);
  requireLimits(options.limits ?? {});
  const localKeyFile = { directory: home, name: "local.key", variable: "STIGMER_HOME" } as const;
  const apiKey = mode === "local" ? (await loadOrCreateKeyFile(localKeyFile)).toString("base64url") : "";
  const lost = Promise.withResolvers<void>();
  const logger = options.logger ?? silentLogger;
  const files = mode === "cloud" ? options.tls : undefined;
  const certificate = files && (await openCertificate({ files, logger }));
  const fanout = await openFanout(options.fanout ?? { type: "in-process" }, logger);
  // The embedded engine knows in its own process who works on what: it shares with nobody.
  const shares = fanout.shared && options.engine?.type === "temporal";
  const needs = { dataDir, logger, alone: !shares, onLost: lost.resolve };
  const store = await openStore(options.store ?? {}, needs).catch(async (error: unknown) => {
    await fanout.close();
    throw error;
  });
  try {
    const keyFile = { directory: dataDir, name: "encryption.key", variable: "STIGMER_DATA_DIR" } as const;
    const encryptionKey = options.encryptionKey ?? (await loadOrCreateKeyFile(keyFile));
    const keyPlace = options.encryptionKey ? "STIGMER_ENCRYPTION_KEY" : join(dataDir, keyFile.name);
    const tellsByRedis = options.fanout?.type === "redis";
    const made = { tellsByRedis, origins, dataDir, encryptionKey, keyPlace, apiKey, certificate, store, fanout };
    const server = await openServer({ ...options, mode, ...made });
    const closed = Promise.withResolvers<string | undefined>();
    let closing: Promise<void> | undefined;
    const close = (reason?: string): Promise<void> =>
      (closing ??= server.close().finally(() => closed.resolve(reason)));
    const closeWhenLost = async (): Promise<void> => {
      await lost.promise;
      const reason = "Another Stigmer server has taken this one's database over while the connection to it was broken.";
      logger.error({}, reason);
      await close(reason).catch((error: unknown) => logger.error({ err: error }, "stigmer-server did not close well"));
    };
    void closeWhenLost();
    return { ...server, close: () => close(), closed: closed.promise };
  } catch (error) {
    await fanout.close();
    await store.close();
    throw error;
  }
}

interface OpenServerOptions extends Omit<StartServerOptions, "store" | "fanout" | "mode"> {
  readonly mode: "local" | "cloud";
  readonly store: Store;
  readonly fanout: Fanout;
  readonly tellsByRedis: boolean;
  readonly origins: ReadonlySet<string>;
  readonly dataDir: string;
  readonly encryptionKey: Uint8Array;
  /** Where that is from, for people. */
  readonly keyPlace: string;
  readonly apiKey: string;
  readonly certificate: OpenCertificate | undefined;
}

/** The server over a store that is its own; it closes the store when it is closed itself. */
async function openServer(options: OpenServerOptions): Promise<Omit<RunningServer, "closed">> {
  const {
    apiKey,
    certificate,
    dataDir,
    fanout,
    mode,
    origins,
    port = 50_051,
    taskQueue,
    logger = silentLogger,
  } = options;
  const secrets = createSecrets(options.encryptionKey);
  await requireSameKey(options.store.settings, options.encryptionKey, options.keyPlace);
  const { meters } = options;
  const measured = meters ? measureStore(options.store, meters) : options.store;
  const runs = createRunStatuses({ store: measured, logger, fanout });
  const audit = createAudit({ store: announceRuns(measured, runs), logger, clock: Date.now });
  const { store } = audit;
  const opened = await recoverEngine(options, { store, runs, secrets, logger });
  const engine = announceOrders(opened.engine, fanout);
  const { retentionDays: days, auditDays = 90 } = options;
  const kept = { store, engine, taskQueue: taskQueue ?? DEFAULT_ACTIVITY_QUEUE, logger, clock: Date.now };
  const retention = createRetention({ ...kept, days, auditDays });
  const health = createHealth(API_SERVICES.map(({ typeName }) => typeName));
  const made = createServices({
    store,
    runs,
    engine,
    secrets,
    principalOf,
    mode,
    logger,
    taskQueue,
    maxWaitingRunsPerOrg: options.limits?.maxWaitingRuns,
  });
  const closing = createClosing();
  const observeEntry = meters && createEntryCounts(meters);
  const routes = (router: ConnectRouter): void => {
    made.register(router);
    router.service(
      RunnerController,
      createRunnerService({ store, runs, engine, services: made, version, logger, closing, observeEntry }),
    );
    router.service(Health, health.service, { readMaxBytes: MAX_PUBLIC_BYTES });
    router.service(ServerReflection, createReflection([...API_SERVICES, Health, ServerReflection]));
  };
  const authenticator = firstOf(
    ...(mode === "local" ? [localAuthenticator({ key: apiKey, allowDummyKey: options.allowDummyKey })] : []),
    apiKeyAuthenticator(createApiKeyBook({ store, logger, mode, clock: Date.now }), Date.now),
    ...(options.oidc && mode === "cloud" ? [await openOidc(options.oidc, logger)] : []),
    ...(options.authenticators ?? []),
  );
  const services = new Set(API_SERVICES.map(({ typeName }) => typeName));
  const known = limited(authenticate(authenticator), options.limits);
  const gate = reportGateErrors(inOrder(known, audit.gated(authorize({ store, mode, services }))), logger);
  const counts = meters && createCallCounts(meters);
  const handler = connectHandler({
    routes,
    logger,
    readMaxBytes: MAX_MESSAGE_BYTES,
    requestGate: counts ? counts.gated(gate) : gate,
    interceptors: [
      ...(counts ? [counts.interceptor] : []),
      traceCalls(),
      audit.interceptor,
      reportErrors(logger),
      ...(mode === "cloud" ? [takeTurns({ most: options.limits?.maxCalls ?? MAX_CALLS, clock: monotonic })] : []),
      recheckStreams({ authenticator, clock: Date.now }),
      validateRequests(),
    ],
  });

  let listener: Listener;
  try {
    const shared = shareWithOrigins(handler, origins);
    // Names of a service are its own; there a key alone opens anything, and no browser sends one by itself.
    const guarded =
      mode === "local"
        ? refuseForeign(shared, { allowedOrigins: origins, allowedHosts: new Set(options.allowedHosts) })
        : shared;
    const host = mode === "cloud" && options.host !== undefined ? options.host : LOOPBACK;
    listener = await listen({ host, port, handler: guarded, certificate: certificate?.present });
    certificate?.keepFresh((next) => listener.renew(next));
    if (!certificate && !isLoopback(host)) {
      logger.warn(
        { host },
        "keys and answers travel in plain text: give the server a certificate, or put what ends TLS in front",
      );
    }
  } catch (error) {
    await retention.close();
    await engine.close();
    throw error;
  }
  logger.info({ port: listener.port, dataDir }, "stigmer-server is ready");
  const redis = (): boolean | undefined => (options.tellsByRedis ? fanout.state === "live" : undefined);
  const connections = { redis, temporal: opened.isConnected };
  const stopWatching = meters && describeServer(meters, { metrics, store, connections });

  return {
    port: listener.port,
    endpoint: certificate ? `https://${endpointOf(listener)}` : endpointOf(listener),
    apiKey,
    metrics,
    drain,
    close,
  };

  function drain(): void {
    health.drain();
    logger.info({}, "stigmer-server drains: its health says NOT_SERVING, and calls are still served");
  }

  async function metrics(): Promise<ServerMetrics> {
    const paused = store.executions.count({ phase: ExecutionPhase.EXECUTION_PAUSED, live: true });
    return {
      ...(await opened.metrics()),
      paused: await paused,
      fanout: runs.metrics(),
      retention: retention.metrics(),
    };
  }

  async function close(): Promise<void> {
    stopWatching?.();
    health.drain();
    certificate?.[Symbol.dispose]();
    runs.close();
    closing.close(shuttingDown());
    await retention.close();
    await engine.close();
    await listener.close();
    await fanout.close();
    await store.close();
    logger.info({}, "stigmer-server is closed");
  }
}

function limited(authenticated: RequestGate, limits: OrganizationLimits = {}): RequestGate {
  const { callsPerSecond, callBurst = callsPerSecond } = limits;
  if (callsPerSecond === undefined || callBurst === undefined) return authenticated;
  const allowance = createCallAllowance({ callsPerSecond, callBurst, clock: monotonic });
  return limitCalls({ authenticated, allowance, callsPerSecond, clock: monotonic });
}

const monotonic = (): number => performance.now();

/** Only who configured it has its package read. */
async function openOidc(oidc: OidcOptions, logger: Logger): Promise<Authenticator> {
  const { oidcAuthenticator } = await import("./auth/oidc.ts");
  return oidcAuthenticator({ ...oidc, logger, clock: Date.now });
}
