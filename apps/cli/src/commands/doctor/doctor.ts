import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { exitCodes } from "../../errors.ts";
import { type Color, createPaint } from "../../output/colors.ts";
import { writeLine } from "../../output/write.ts";
import { withKeptKeys } from "../../keychain/kept-keys.ts";
import { type ModelSettings, readModelSettings } from "../model/model-settings.ts";
import * as checks from "./checks.ts";
import * as connections from "./connections.ts";

export interface DoctorOptions {
  readonly json?: boolean;
  /** Makes no connection, and lists those that it would make. */
  readonly offline?: boolean;
}

interface Line extends checks.Finding {
  readonly name: string;
}

/** Looks at everything that a start or a run needs, and says how to mend what is wrong. The exit code says whether anything is. */
export async function doctor({ json, offline = false }: DoctorOptions, io: CommandIo): Promise<number> {
  const homes = resolveHome(io.env);
  const lines: Line[] = [];
  const add = (name: string, finding: checks.Finding): void => void lines.push({ name, ...finding });
  add("Node.js", checks.checkNode());
  add("home", checks.checkHome(homes));
  add("settings", checks.checkSettings(homes, io));
  add("disk", checks.checkDisk(homes));
  add("daemon", await checks.checkDaemon(homes));
  add("port", await checks.checkPort(homes, io));
  // Settings that are wrong have been told, and there is no model to be found by them.
  const settings = await findModels(io, offline);
  if (settings) {
    add("model", connections.checkModel(settings, offline));
    add("Ollama", connections.checkOllama(settings, offline));
    if (!offline) {
      const { finding, time } = await connections.checkProvider(settings);
      add("provider", finding);
      add("clock", connections.checkClock(time));
    }
  }
  add("sandboxes", await checks.checkSandboxes(io, offline));
  add("Temporal", await connections.checkTemporal(homes, io, offline));
  const wouldConnect = settings && offline ? connections.connectionsOf(settings, io) : [];

  if (json) writeLine(io.stdout, JSON.stringify({ checks: lines, ...(offline && { connections: wouldConnect }) }));
  else show(lines, wouldConnect, io);
  return lines.some(({ state }) => state === "fail") ? exitCodes.failed : 0;
}

async function findModels(io: CommandIo, offline: boolean): Promise<ModelSettings | undefined> {
  try {
    return await readModelSettings(withKeptKeys(io.env), offline ? "never" : "always");
  } catch {
    return undefined;
  }
}

const colors: Readonly<Record<checks.Finding["state"], Color>> = { ok: "green", warn: "yellow", fail: "red" };

function show(lines: readonly Line[], wouldConnect: readonly connections.Connection[], io: CommandIo): void {
  const paint = createPaint(io.stdout, io.env);
  for (const { name, state, message, fix } of lines) {
    writeLine(io.stdout, `${paint(colors[state], state.padEnd(4))}  ${name.padEnd(9)}  ${message}`);
    if (fix) writeLine(io.stdout, `      ${"".padEnd(9)}  → ${fix}`);
  }
  if (wouldConnect.length === 0) return;
  writeLine(io.stdout, "\nWithout --offline these connections are made:");
  for (const { to, why } of wouldConnect) writeLine(io.stdout, `  ${to}  ${why}`);
}
