import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Engine } from "./engine.ts";
import { type Inside, openPort, openSocket } from "./join.ts";

/** Ways between this machine's loopback interface and that of the engine's network. */
export interface Passages extends AsyncDisposable {
  /** The port here of a port in there. */
  port(inside: number): number;
}

export interface PassageOptions {
  /** By the port in there, what answers: `host:port` here. */
  readonly inward: Readonly<Record<number, string>>;
  /** Ports in there that are to be reached from here. */
  readonly outward?: readonly number[];
}

export async function openPassages(engine: Engine, { inward, outward = [] }: PassageOptions): Promise<Passages> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "stigmer-passages-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const ways = (ports: readonly number[], kind: string): Inside["inward"] =>
    ports.map((port) => ({ port, socket: join(folder, `${kind}-${port}`) }));
  const inside: Inside = { inward: ways(Object.keys(inward).map(Number), "in"), outward: ways(outward, "out") };

  for (const { port, socket } of inside.inward) {
    const { hostname, port: there } = new URL(`tcp://${inward[port]}`);
    const opened = await openSocket(socket, { host: hostname, port: Number(there) });
    stack.defer(opened.close);
  }
  const [command, ...args] = engine.inNetwork([
    process.execPath,
    join(import.meta.dirname, "passages-inside.ts"),
    JSON.stringify(inside),
  ]);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(child, "exit");
  const endWithUs = (): void => void child.kill("SIGKILL");
  process.once("exit", endWithUs);
  stack.defer(async () => {
    process.off("exit", endWithUs);
    child.kill("SIGKILL");
    await gone;
  });
  const first = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  if (first.value !== "open") throw new Error("The passages into the engine's network can't be opened.");

  const ports = new Map<number, number>();
  for (const { port, socket } of inside.outward) {
    const opened = await openPort(0, { path: socket });
    stack.defer(opened.close);
    ports.set(port, opened.port);
  }
  const done = stack.move();
  return { port: (port) => ports.get(port) ?? 0, [Symbol.asyncDispose]: () => done.disposeAsync() };
}
