import {
  configSettings,
  parseConfigFile,
  problemOfKey,
  readSetting,
  resolveHome,
  setSetting,
  unsetSetting,
} from "@stigmer/config";
import { stringify } from "yaml";
import type { CommandIo } from "../../command-io.ts";
import { CliError, exitCodes } from "../../errors.ts";
import { formatTable } from "../../output/table.ts";
import { writeLine } from "../../output/write.ts";
import { editConfigFile, readText } from "./config-file.ts";

interface KeyOptions {
  readonly key: string;
}

interface JsonOptions {
  readonly json?: boolean;
}

/** Shows one setting, or a group of them. The exit code says whether the file has it. */
export async function configGet({ key, json }: KeyOptions & JsonOptions, io: CommandIo): Promise<number> {
  checkKey(key);
  const { configFile } = resolveHome(io.env);
  const value = readSetting(readChecked(configFile), key);
  if (value === undefined) {
    writeLine(io.stderr, `${key} is not set in ${configFile}: set it with \`stigmer config set ${key} VALUE\`.`);
    return exitCodes.failed;
  }
  io.stdout.write(json ? `${JSON.stringify(value)}\n` : typeof value === "object" ? stringify(value) : `${value}\n`);
  return 0;
}

/** Sets one setting, and leaves the rest of the file as it is written. */
export async function configSet({ key, value }: KeyOptions & { readonly value: string }, io: CommandIo): Promise<void> {
  checkKey(key);
  await editConfigFile(io, (text, file) => setSetting(text, { file, key, value }));
  const variable = overriding(key, io);
  if (variable) writeLine(io.stderr, `${variable} is set here, and goes before it.`);
}

/** Takes one setting out. That it was not there is no failure; nor that its name is a mistake, which may be why. */
export async function configUnset({ key }: KeyOptions, io: CommandIo): Promise<void> {
  await editConfigFile(io, (text, file) => {
    const wrong = problemOfKey(key);
    if (wrong && readSetting(text, key) === undefined) throw new CliError("usage", wrong);
    return unsetSetting(text, { file, key });
  });
}

/** Shows all settings: what the file says, and what goes before it. */
export async function configList({ json }: JsonOptions, io: CommandIo): Promise<void> {
  const { configFile } = resolveHome(io.env);
  const text = readChecked(configFile);
  const settings = configSettings.flatMap(({ key, meaning }) => {
    if (!key.endsWith(".<model>")) return [{ key, meaning, value: readSetting(text, key) }];
    const group = key.slice(0, -".<model>".length);
    const named = Object.entries((readSetting(text, group) as Record<string, unknown> | undefined) ?? {});
    const each = named.map(([name, value]) => ({ key: `${group}.${name}`, meaning, value }));
    return each.length > 0 ? each : [{ key, meaning, value: undefined as unknown }];
  });
  if (json) {
    const set = settings.filter(({ value }) => value !== undefined).map(({ key, value }) => [key, value]);
    writeLine(io.stdout, JSON.stringify(Object.fromEntries(set)));
    return;
  }
  const rows = settings.map(({ key, value, meaning }) => {
    const variable = overriding(key, io);
    return [key, show(value), variable ? `${variable} goes before it: ${io.env[variable]}` : meaning];
  });
  io.stdout.write(formatTable(["SETTING", "VALUE", ""], rows));
}

/** Shows where the file is, whether it is there or not. */
export async function configPath(_options: object, io: CommandIo): Promise<void> {
  writeLine(io.stdout, resolveHome(io.env).configFile);
}

function checkKey(key: string): void {
  const wrong = problemOfKey(key);
  if (wrong) throw new CliError("usage", wrong);
}

function readChecked(file: string): string {
  const text = readText(file);
  const result = parseConfigFile(text, file);
  if (!result.ok) throw new CliError("failed", result.problems.map(({ message }) => message).join("\n"));
  return text;
}

/** The variable that is set and goes before a setting. */
function overriding(key: string, io: CommandIo): string | undefined {
  const variable = configSettings.find((setting) => setting.key === key)?.variable;
  return variable !== undefined && io.env[variable]?.trim() ? variable : undefined;
}

function show(value: unknown): string {
  if (value === undefined) return "-";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
