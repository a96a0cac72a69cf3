import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** A Redis of a test's own, which may be killed. */
export interface OwnRedis {
  readonly port: number;
  readonly password: string;
  /** A user that may do what Stigmer needs and no more, with the same password. */
  readonly username: string;
  /** With `tls`: the authority of its certificate, which is for 127.0.0.1. */
  readonly caFile: string | undefined;
  /** Starts it, on the same port each time; it remembers nothing. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** It holds its connections and answers nothing. */
  stall(): void;
  goOn(): void;
  /** Removes its files. After `kill`. */
  dispose(): Promise<void>;
}

/** The program `redis-server` must be on PATH; a system test that silently did not run would prove nothing. */
export async function createOwnRedis({ tls = false }: { readonly tls?: boolean } = {}): Promise<OwnRedis> {
  const port = await freePort();
  const password = randomBytes(16).toString("hex");
  const username = "stigmer";
  const certificate = tls ? await makeCertificate() : undefined;
  const config = [
    "bind 127.0.0.1",
    ...(certificate
      ? ["port 0", `tls-port ${port}`, `tls-cert-file ${certificate.cert}`, `tls-key-file ${certificate.key}`]
      : [`port ${port}`]),
    ...(certificate ? ["tls-auth-clients no"] : []),
    `requirepass ${password}`,
    `user ${username} on >${password} ~stigmer:* resetchannels &stigmer:* -@all +@connection +@pubsub +@read +@write +@scripting +info`,
    'save ""',
    "",
  ];
  let child: ChildProcess | undefined;
  const endWithUs = (): void => void child?.kill("SIGKILL");
  return {
    port,
    password,
    username,
    caFile: certificate?.cert,
    start: async () => {
      const started = spawn("redis-server", ["-"], { stdio: ["pipe", "pipe", "inherit"] });
      child = started;
      process.once("exit", endWithUs);
      started.stdin.end(config.join("\n"));
      const failed = once(started, "error").then(([error]) => Promise.reject(error as Error));
      const ready = (async () => {
        for await (const line of createInterface({ input: started.stdout })) {
          if (line.includes("Ready to accept connections")) return;
        }
        throw new Error("redis-server ended before it was ready.");
      })();
      await Promise.race([ready, failed]);
      started.stdout.resume();
    },
    kill: async () => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      process.off("exit", endWithUs);
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
    stall: () => void child?.kill("SIGSTOP"),
    goOn: () => void child?.kill("SIGCONT"),
    dispose: async () => {
      if (certificate) await rm(certificate.folder, { recursive: true, force: true });
    },
  };
}

/** One that vouches for itself. */
async function makeCertificate(): Promise<{ folder: string; cert: string; key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-redis-tls-"));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  const how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await promisify(execFile)("openssl", [...how, ...subject, "-keyout", key, "-out", cert]);
  return { folder, cert, key };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
