// A home for a daemon with fake children, and what there is to see of them.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Homes, resolveHome } from "@stigmer/config";
import type { ChildCommands } from "../child-commands.ts";
import { isAlive } from "../is-alive.ts";
import type { RestartPolicy } from "../supervise-child.ts";
import type { Behaviour, Start } from "./fake-child.ts";

type Name = "server" | "runner";

export interface FakeDaemon extends AsyncDisposable {
  readonly homes: Homes;
  readonly children: ChildCommands;
  /** For `startDetached`: the real supervisor over fake children. */
  readonly program: readonly [string, ...string[]];
  /** How the next starts behave. */
  behave(name: Name, behaviour: Behaviour): void;
  starts(name: Name): Start[];
  /** What the children noted at their ends, in order. */
  events(): string[];
  /** The processes of all starts that are still there. */
  alive(): number[];
}

/** Fast, and without mercy after four crashes. */
export const restarts: RestartPolicy = {
  firstDelayMs: 5,
  longestDelayMs: 15,
  healthyAfterMs: 600_000,
  maxCrashes: 4,
  readyWithinMs: 20_000,
};

const node = [process.execPath, "--conditions=@stigmer/source"] as const;

export function fakeChildren(directory: string, logsDir: string): ChildCommands {
  const command =
    (name: Name, secrets: Record<string, string>): ChildCommands["server"] =>
    (port) => ({
      command: node[0],
      args: [node[1], fileURLToPath(new URL("./fake-child.ts", import.meta.url)), directory, name, String(port)],
      env: { PATH: process.env["PATH"] },
      secrets,
      logFile: join(logsDir, `${name}.log`),
    });
  return { server: command("server", {}), runner: command("runner", { ANTHROPIC_API_KEY: "hush" }) };
}

export async function fakeDaemon(): Promise<FakeDaemon> {
  const directory = await mkdtemp(join(tmpdir(), "stigmer-daemon-"));
  const homes = resolveHome({ STIGMER_HOME: join(directory, "home") });
  const lines = (file: string): string[] => {
    const path = join(directory, file);
    return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
  };
  const starts = (name: Name): Start[] => lines(`${name}.starts`).map((line) => JSON.parse(line) as Start);
  const alive = (): number[] => [...starts("server"), ...starts("runner")].map(({ pid }) => pid).filter(isAlive);
  return {
    homes,
    children: fakeChildren(directory, homes.logsDir),
    program: [...node, fileURLToPath(new URL("./supervise.ts", import.meta.url)), directory],
    behave: (name, behaviour) => writeFileSync(join(directory, `${name}.json`), JSON.stringify(behaviour)),
    starts,
    events: () => lines("events"),
    alive,
    async [Symbol.asyncDispose]() {
      // Nothing, unless a test failed.
      for (const pid of alive()) process.kill(pid, "SIGKILL");
      await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
