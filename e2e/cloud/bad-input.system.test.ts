import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { makeCertificate, type CertificateFiles } from "./certificates.ts";
import { type Ground, openGround } from "./ground.ts";
import { startOldPostgres } from "./old-postgres.ts";
import { findPort } from "./services.ts";

// What operators get wrong, and what is away when they start: one line that says what it is and what to do, and exit code 1.

vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

type Env = Readonly<Record<string, string>>;

/** Variables and flags of a program that is to end, and what its one line says. */
interface Mistake {
  readonly env?: () => Env | Promise<Env>;
  readonly args?: () => readonly string[];
  /** Each stands in it. */
  readonly says: () => readonly string[];
  /** One for each variable that is wrong. Default 1. */
  readonly lines?: number;
}

let ground: Ground;
let certificate: CertificateFiles;
let strange: CertificateFiles;
let nobody: number;
let server: { readonly endpoint: string };
let secure: { readonly endpoint: string };
let keys: { readonly owner: string; readonly runner: string };
beforeAll(async () => {
  ground = await openGround();
  [certificate, strange] = [
    await makeCertificate(ground.folder, "ours"),
    await makeCertificate(ground.folder, "strange"),
  ];
  nobody = await findPort();
  server = await ground.startServer();
  secure = await ground.startServer({}, "--tls-cert", certificate.certFile, "--tls-key", certificate.keyFile);
  keys = {
    owner: await ground.createKey("--org", "acme", "--role", "owner"),
    runner: await ground.createKey("--role", "runner", "--expires", "never"),
  };
});
afterAll(() => ground?.[Symbol.asyncDispose]());

const withPassword = (url: string, password: string): string => {
  const changed = new URL(url);
  changed.password = password;
  return changed.href;
};
const atPort = (url: string, port: number): string => {
  const changed = new URL(url);
  changed.port = String(port);
  return changed.href;
};
const database = (): string => ground.serverEnv["STIGMER_DATABASE_URL"] ?? "";
const postgresAt = (): string => new URL(database()).host;
const redisAt = (): string => `127.0.0.1:${ground.redis.port}`;

const services: Record<string, Mistake> = {
  "Redis is away": {
    env: () => ({ REDIS_PORT: String(nobody) }),
    says: () => [`Failed to connect to Redis: 127.0.0.1:${nobody}: `, "ECONNREFUSED"],
  },
  "the password of Redis is wrong": {
    env: () => ({ REDIS_PASSWORD: "not-that-one" }),
    says: () => [`Failed to connect to Redis: ${redisAt()} refuses `, "WRONGPASS", "REDIS_PASSWORD"],
  },
  "the password of Redis is missing": {
    env: () => ({ REDIS_PASSWORD: "" }),
    says: () => [`Failed to connect to Redis: ${redisAt()} asks for a password`, "set REDIS_PASSWORD"],
  },
  "Temporal is away": {
    env: () => ({ TEMPORAL_SERVICE_ADDRESS: `127.0.0.1:${nobody}` }),
    says: () => [
      `Failed to connect to Temporal: Temporal can't be reached at 127.0.0.1:${nobody}`,
      "TEMPORAL_SERVICE_ADDRESS",
    ],
  },
  "the namespace of Temporal is another": {
    env: () => ({ TEMPORAL_NAMESPACE: "elsewhere" }),
    says: () => [
      `Failed to connect to Temporal: Temporal at ${ground.temporalAddress} has no namespace "elsewhere"`,
      "TEMPORAL_NAMESPACE",
    ],
  },
};

const ofServers: Record<string, Mistake> = {
  ...services,
  "Postgres is down": {
    env: () => ({ STIGMER_DATABASE_URL: atPort(database(), nobody) }),
    says: () => [`Postgres can't be reached at 127.0.0.1:${nobody}/servers`, "start it", "STIGMER_DATABASE_URL"],
  },
  "Postgres is too old": {
    env: async () => {
      const old = await startOldPostgres(database(), "12");
      closing.push(old);
      return { STIGMER_DATABASE_URL: old.url };
    },
    says: () => ["Postgres at 127.0.0.1:", " is version 12.", "use 13 or newer"],
  },
  "the password of Postgres is wrong": {
    env: () => ({ STIGMER_DATABASE_URL: withPassword(database(), "not-that-one") }),
    says: () => [`Postgres at ${postgresAt()}/servers refuses the user "stigmer"`, "correct STIGMER_DATABASE_URL"],
  },
  "there is no such database": {
    env: () => ({ STIGMER_DATABASE_URL: ground.urlOf("elsewhere") }),
    says: () => [`Postgres at ${postgresAt()}/elsewhere has no database "elsewhere"`, "createdb elsewhere"],
  },
  "the encryption key is missing": {
    env: () => ({ STIGMER_ENCRYPTION_KEY: "" }),
    says: () => ["Missing required environment variable: STIGMER_ENCRYPTION_KEY"],
  },
  "the encryption key is too short": {
    env: () => ({ STIGMER_ENCRYPTION_KEY: randomBytes(16).toString("base64") }),
    says: () => ["STIGMER_ENCRYPTION_KEY", "expected 32 bytes in base64 or hex", "openssl rand -base64 32"],
  },
  "the encryption key is another than the database has": {
    env: () => ({ STIGMER_ENCRYPTION_KEY: randomBytes(32).toString("base64") }),
    says: () => ["sealed with another encryption key than the one in STIGMER_ENCRYPTION_KEY", "put that key there"],
  },
  "the certificate is missing": {
    args: () => ["--tls-cert", "nowhere.pem", "--tls-key", certificate.keyFile],
    says: () => [
      `Cannot read the TLS certificate ${join(ground.folder, "nowhere.pem")}: there is no such file`,
      "STIGMER_TLS_CERT_FILE",
    ],
  },
  "the certificate's key is missing": {
    env: () => ({ STIGMER_TLS_CERT_FILE: certificate.certFile }),
    says: () => ["STIGMER_TLS_KEY_FILE"],
  },
  "the certificate's key is another's": {
    args: () => ["--tls-cert", certificate.certFile, "--tls-key", strange.keyFile],
    says: () => [
      `The private key in ${strange.keyFile} is not that of the first certificate in ${certificate.certFile}`,
    ],
  },
  "the certificate is none": {
    args: () => ["--tls-cert", certificate.keyFile, "--tls-key", certificate.keyFile],
    says: () => [`${certificate.keyFile} holds no certificate in PEM`],
  },
  "an audience without its issuer": {
    env: () => ({ STIGMER_OIDC_AUDIENCE: "stigmer" }),
    says: () => ["STIGMER_OIDC_ISSUER"],
  },
  "nothing is set but the mode": {
    env: () => Object.fromEntries(Object.keys(ground.serverEnv).map((name) => [name, name === "MODE" ? "cloud" : ""])),
    says: () => ["STIGMER_DATABASE_URL", "STIGMER_ENCRYPTION_KEY", "TEMPORAL_SERVICE_ADDRESS", "REDIS_HOST"],
    lines: 5,
  },
};

const ofRunners: Record<string, Mistake> = {
  ...services,
  "the server is away": {
    env: () => ({ STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${nobody}` }),
    says: () => [`Failed to connect to stigmer-server at 127.0.0.1:${nobody}: no answer within 5 s`],
  },
  "the key is nobody's": {
    env: () => ({ STIGMER_API_KEY: "stk_nobodys" }),
    says: () => [`Failed to connect to stigmer-server at ${server.endpoint}: `, "the API key is not known here"],
  },
  "the key is an owner's": {
    env: () => ({ STIGMER_API_KEY: keys.owner }),
    says: () => [`Failed to connect to stigmer-server at ${server.endpoint}: `, "runner"],
  },
  "the server speaks no TLS": {
    env: () => ({ STIGMER_BACKEND_ENDPOINT: `https://${server.endpoint}`, STIGMER_TLS_CA_FILE: certificate.caFile }),
    says: () => [`Failed to connect to stigmer-server at https://${server.endpoint}: it does not speak TLS`],
  },
  "the server speaks TLS, the runner does not": {
    env: () => ({ STIGMER_BACKEND_ENDPOINT: secure.endpoint.replace("https://", "") }),
    says: () => [`Failed to connect to stigmer-server at ${secure.endpoint.replace("https://", "")}: `, "https://"],
  },
  "nobody vouches for the server": {
    env: () => ({ STIGMER_BACKEND_ENDPOINT: secure.endpoint }),
    says: () => [`Failed to connect to stigmer-server at ${secure.endpoint}: `, "certificate", "STIGMER_TLS_CA_FILE"],
  },
  "another authority vouches for the server": {
    env: () => ({ STIGMER_BACKEND_ENDPOINT: secure.endpoint, STIGMER_TLS_CA_FILE: strange.caFile }),
    says: () => [`Failed to connect to stigmer-server at ${secure.endpoint}: `, "certificate", "STIGMER_TLS_CA_FILE"],
  },
  "the authority's file is missing": {
    env: () => ({ STIGMER_TLS_CA_FILE: "nowhere.pem" }),
    says: () => ["Failed to load configuration: ", "STIGMER_TLS_CA_FILE", "nowhere.pem"],
  },
  "the checkpoints' Postgres is down": {
    env: () => ({ STIGMER_CHECKPOINT_URL: atPort(database(), nobody) }),
    says: () => ["Failed to initialize worker: ", `127.0.0.1:${nobody}`, "STIGMER_CHECKPOINT_URL"],
  },
  "the checkpoints' password is wrong": {
    env: () => ({ STIGMER_CHECKPOINT_URL: withPassword(ground.urlOf("checkpoints"), "not-that-one") }),
    says: () => ["Failed to initialize worker: ", "password authentication failed", "STIGMER_CHECKPOINT_URL"],
  },
  "there is no database for checkpoints": {
    env: () => ({ STIGMER_CHECKPOINT_URL: ground.urlOf("elsewhere") }),
    says: () => ["Failed to initialize worker: ", "elsewhere", "STIGMER_CHECKPOINT_URL"],
  },
  "there is no Docker": {
    env: () => ({ DOCKER_HOST: "unix:///nowhere/docker.sock" }),
    says: () => ["Failed to initialize worker: SANDBOX_TYPE=docker: "],
  },
  "nothing is set but the mode": {
    env: () => {
      const names = Object.keys(ground.runnerEnv({ endpoint: "", apiKey: "" }));
      return Object.fromEntries(names.map((name) => [name, name === "MODE" ? "cloud" : ""]));
    },
    says: () => ["STIGMER_BACKEND_ENDPOINT", "STIGMER_API_KEY", "STIGMER_CHECKPOINT_URL", "REDIS_HOST"],
    lines: 6,
  },
};

const closing: AsyncDisposable[] = [];
afterAll(async () => {
  for (const each of closing) await each[Symbol.asyncDispose]();
});

/** What is not a line of the log. No line of that tells where in the source something happened, nor any secret. */
function saidIn(stderr: string): string[] {
  const lines = stderr.trimEnd().split("\n");
  const secrets = ["not-that-one", ground.redis.password, new URL(database()).password, keys.owner, keys.runner];
  for (const secret of secrets) expect(stderr).not.toContain(secret);
  expect(stderr).not.toMatch(/\n\s+at |\\n\s+at |node:internal|\[object|undefined/);
  return lines.filter((line) => !line.startsWith("{"));
}

function expectSaid(said: readonly string[], { says, lines = 1 }: Mistake): void {
  for (const words of says()) expect(said.join("\n")).toContain(words);
  expect(said).toHaveLength(lines);
  for (const line of said) expect(line.length).toBeLessThan(500);
}

describe("a server", () => {
  it.concurrent.each(Object.entries(ofServers))("does not start where %s", async (_, mistake) => {
    const env = { ...ground.serverEnv, ...(await mistake.env?.()) };
    const args = ["server", "run", "--port", "0", ...(mistake.args?.() ?? [])];
    const { exitCode, stdout, stderr } = await ground.stigmer(args, env).result;
    expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 1, stdout: "" });
    expectSaid(saidIn(stderr), mistake);
  });
});

describe("a runner", () => {
  it.concurrent.each(Object.entries(ofRunners))("does not start where %s", async (_, mistake) => {
    const right = ground.runnerEnv({ endpoint: server.endpoint, apiKey: keys.runner });
    const { exitCode, stdout, stderr } = await ground.runner({ ...right, ...(await mistake.env?.()) }).result;
    expect(exitCode, stderr + stdout).toBe(1);
    expectSaid(saidIn(stderr), mistake);
    expect(stdout).not.toContain("Worker ready");
  });
});
