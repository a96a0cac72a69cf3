import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";

/** A Redis of a test's own, which may be killed. */
export interface OwnRedis {
  readonly port: number;
  readonly password: string;
  /** Starts it, on the same port each time; it remembers nothing. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** It holds its connections and answers nothing. */
  stall(): void;
  goOn(): void;
}

/** The program `redis-server` must be on PATH; a system test that silently did not run would prove nothing. */
export async function createOwnRedis(): Promise<OwnRedis> {
  const port = await freePort();
  const password = randomBytes(16).toString("hex");
  let child: ChildProcess | undefined;
  const endWithUs = (): void => void child?.kill("SIGKILL");
  process.once("exit", endWithUs);
  return {
    port,
    password,
    start: async () => {
      const started = spawn("redis-server", ["-"], { stdio: ["pipe", "pipe", "inherit"] });
      child = started;
      started.stdin.end([`bind 127.0.0.1`, `port ${port}`, `requirepass ${password}`, 'save ""', ""].join("\n"));
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
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
    stall: () => void child?.kill("SIGSTOP"),
    goOn: () => void child?.kill("SIGCONT"),
  };
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
