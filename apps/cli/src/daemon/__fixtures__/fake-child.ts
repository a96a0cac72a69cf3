// Stands for the server or the runner: notes each start, then behaves as its file says. Loads nothing, to start fast.
import { appendFileSync, createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** What a start does; the default is to become ready and stay until told to stop. */
export interface Behaviour {
  /** Says this to its parent and ends. */
  readonly failed?: string;
  /** Prints this and ends with code 1: before it is ready, or after. */
  readonly crash?: { readonly stderr: string; readonly when: "before" | "after" };
  readonly neverReady?: boolean;
  readonly ignoreSigterm?: boolean;
}

export interface Start {
  readonly pid: number;
  readonly port: number;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
}

const [directory = "", name = "", port = ""] = process.argv.slice(2);
const note = (file: string, text: string): void => appendFileSync(join(directory, file), `${text}\n`);
const behaviour = readBehaviour();

process.on("SIGINT", () => note("events", `${name} got SIGINT`));
process.on("SIGTERM", () => {
  if (behaviour.ignoreSigterm) return;
  note("events", `${name} stopped`);
  process.exit(0);
});
process.once("disconnect", () => {
  note("events", `${name} orphaned`);
  process.exit(0);
});
setInterval(() => {}, 1_000);

const secrets = JSON.parse(await text(createReadStream("", { fd: Number(process.env["STIGMER_SECRETS_FD"]) })));
const { pid, env, argv } = process;
note(`${name}.starts`, JSON.stringify({ pid, port: Number(port), cwd: process.cwd(), argv, env, secrets }));
if (behaviour.failed !== undefined) {
  await send({ type: "failed", message: behaviour.failed });
  process.exit(1);
}
if (behaviour.crash?.when === "before") crash(behaviour.crash.stderr);
// A server that may choose chooses always the same.
if (!behaviour.neverReady) await send({ type: "ready", ...(name === "server" && { port: Number(port) || 4711 }) });
if (behaviour.crash?.when === "after") crash(behaviour.crash.stderr);

function readBehaviour(): Behaviour {
  try {
    return JSON.parse(readFileSync(join(directory, `${name}.json`), "utf8")) as Behaviour;
  } catch {
    return {};
  }
}

function crash(stderr: string): never {
  process.stderr.write(`${stderr}\n`);
  process.exit(1);
}

function send(message: object): Promise<void> {
  return new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
}
