// Which keys the keychain keeps, as config.yaml says: what it does not name, the keychain is not asked for.
import { type KeyedProvider, parseConfigFile, resolveHome, setSetting, unsetSetting } from "@stigmer/config";
import type { CommandIo } from "../command-io.ts";
import { editConfigFile, readText } from "../commands/config/config-file.ts";
import { CliError } from "../errors.ts";
import { keyVariables, type Keychain, type OpenKeychain } from "./keychain.ts";

const SETTING = "llm.keychain";
/** Passes for a key, and is none. */
const KEPT = "(in-the-keychain)";

/** The providers whose key is said to be in the keychain. */
export function keptProviders(env: CommandIo["env"]): readonly KeyedProvider[] {
  const { configFile } = resolveHome(env);
  const result = parseConfigFile(readText(configFile), configFile);
  if (!result.ok) throw new CliError("failed", result.problems.map(({ message }) => message).join("\n"));
  return result.file.llm?.keychain ?? [];
}

/**
 * The environment with a stand-in for each key that the keychain is said to keep: for who asks which models can be used, and needs no key. The
 * keychain is not opened.
 */
export function withKeptKeys(env: CommandIo["env"]): CommandIo["env"] {
  const kept = keptProviders(env).filter((provider) => !env[keyVariables[provider]]?.trim());
  return { ...env, ...Object.fromEntries(kept.map((provider) => [keyVariables[provider], KEPT])) };
}

/** Whether the key of a model found by `withKeptKeys` is in the keychain. */
export const isKept = (apiKey: string | undefined): boolean => apiKey === KEPT;

/** Puts a key into the keychain, and says so in config.yaml: both or neither. */
export async function keepKey(
  { provider, key, keychain }: { readonly provider: KeyedProvider; readonly key: string; readonly keychain: Keychain },
  io: CommandIo,
): Promise<void> {
  // A file that can't be edited is told before anything is kept.
  const isNew = !keptProviders(io.env).includes(provider);
  await keychain.set(provider, key);
  if (!isNew) return;
  try {
    await mark((kept) => [...kept.filter((other) => other !== provider), provider], io);
  } catch (error) {
    await keychain.delete(provider);
    throw error;
  }
}

/** Takes a key out of the keychain; answers whether there was one to take. */
export async function forgetKey(provider: KeyedProvider, open: OpenKeychain, io: CommandIo): Promise<boolean> {
  if (!keptProviders(io.env).includes(provider)) return false;
  const keychain = await open();
  await keychain.delete(provider);
  await mark((kept) => kept.filter((other) => other !== provider), io);
  return true;
}

export interface KeptKeys {
  /** By their variables, as the runner takes them. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Why a key that is said to be kept was not to be had, in one line. */
  readonly problem?: string;
}

/** Asks for the keys that are kept and that the environment does not give. The keychain is not opened when there are none. */
export async function readKeptKeys(
  { providers, open }: { readonly providers: readonly KeyedProvider[]; readonly open: OpenKeychain },
  env: CommandIo["env"],
): Promise<KeptKeys> {
  const wanted = providers.filter((provider) => !env[keyVariables[provider]]?.trim());
  const secrets: Record<string, string> = {};
  const lost: KeyedProvider[] = [];
  try {
    const keychain = wanted.length > 0 ? await open() : undefined;
    for (const provider of wanted) {
      const key = await keychain?.get(provider);
      if (key === undefined) lost.push(provider);
      else secrets[keyVariables[provider]] = key;
    }
  } catch (error) {
    if (!CliError.is(error)) throw error;
    return { secrets, problem: error.message };
  }
  if (lost.length === 0) return { secrets };
  const again = lost.map((provider) => `\`stigmer config key set ${provider}\``).join(" and ");
  return { secrets, problem: `The keychain has no key of ${lost.join(" and ")} any more: ${again} keeps it anew.` };
}

/** In one step, as two commands may do so at once. */
function mark(change: (kept: readonly KeyedProvider[]) => readonly KeyedProvider[], io: CommandIo): Promise<void> {
  return editConfigFile(io, (text, file) => {
    const result = parseConfigFile(text, file);
    if (!result.ok) return result;
    const kept = change(result.file.llm?.keychain ?? []);
    return kept.length === 0
      ? unsetSetting(text, { file, key: SETTING })
      : setSetting(text, { file, key: SETTING, value: JSON.stringify(kept) });
  });
}
