// A server of several organisations in a process of its own, with its real gate: keys out of its database, and limits.
import { createApiKey, startServer, type RunningServer } from "@stigmer/server";
import { serve } from "./program.ts";

export type CloudServer = {
  /** Resolves with where it listens and the keys: a member's of each organisation, and a runner's. */
  readonly open: (input: {
    readonly home: string;
    readonly databaseUrl: string;
    readonly orgs: readonly string[];
    readonly limits: Limits;
  }) => Promise<OpenedCloud>;
  /** How many runs wait. */
  readonly waiting: () => Promise<number>;
  readonly close: () => Promise<void>;
};

export interface Limits {
  readonly callsPerSecond: number;
  readonly callBurst: number;
  readonly maxRuns: number;
  readonly maxWaitingRuns: number;
}

export interface OpenedCloud {
  readonly endpoint: string;
  readonly keys: Readonly<Record<string, string>>;
  readonly runnerKey: string;
  readonly pid: number;
}

let server: RunningServer | undefined;

const methods: CloudServer = {
  async open({ home, databaseUrl, orgs, limits }) {
    const store = { type: "postgres", url: databaseUrl } as const;
    const make = async (role: "owner" | "runner", org?: string): Promise<string> =>
      (await createApiKey({ store, dataDir: home, role, ...(org !== undefined && { org }) })).key;
    const keys: Record<string, string> = {};
    for (const org of orgs) keys[org] = await make("owner", org);
    const runnerKey = await make("runner");
    server = await startServer({ mode: "cloud", home, dataDir: home, port: 0, store, limits });
    return { endpoint: server.endpoint, keys, runnerKey, pid: process.pid };
  },
  waiting: async () => (await server?.metrics())?.waiting ?? 0,
  close: async () => server?.close(),
};
serve(methods);
