import { text } from "node:stream/consumers";
import { type KeyedProvider, keyedProviders } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { forgetKey, keepKey, keptProviders } from "../../keychain/kept-keys.ts";
import { keyVariables, type OpenKeychain } from "../../keychain/keychain.ts";
import { openSystemKeychain } from "../../keychain/system-keychain.ts";
import { promptStreams } from "../../output/prompts.ts";
import { writeLine } from "../../output/write.ts";

interface ProviderOptions {
  readonly provider: KeyedProvider;
}

/** Keeps a provider's key in the OS keychain, and nowhere else. Asking for it is the consent. */
export async function configKeySet(
  { provider }: ProviderOptions,
  io: CommandIo,
  open: OpenKeychain = openSystemKeychain,
): Promise<void> {
  // Who can't keep a key is not asked for one.
  keptProviders(io.env);
  const keychain = await open();
  const key = await askKey(provider, io);
  await keepKey({ provider, key, keychain }, io);
  writeLine(io.stderr, `The key of ${provider} is in the keychain: \`stigmer local start\` takes it from there.`);
  const variable = keyVariables[provider];
  if (io.env[variable]?.trim()) writeLine(io.stderr, `${variable} is set here, and goes before it.`);
}

/** Takes a provider's key out of the keychain. That there was none is no failure. */
export async function configKeyUnset(
  { provider }: ProviderOptions,
  io: CommandIo,
  open: OpenKeychain = openSystemKeychain,
): Promise<void> {
  const had = await forgetKey(provider, open, io);
  writeLine(
    io.stderr,
    had
      ? `The key of ${provider} is in the keychain no more. A daemon that runs has it until \`stigmer local stop\`.`
      : `No key of ${provider} is kept.`,
  );
}

/** Shows whose keys are kept, never the keys. The keychain is not asked. */
export async function configKeyList({ json }: { readonly json?: boolean }, io: CommandIo): Promise<void> {
  const kept = keyedProviders.filter((provider) => keptProviders(io.env).includes(provider));
  if (json) return writeLine(io.stdout, JSON.stringify(kept));
  if (kept.length === 0) writeLine(io.stderr, "No key is kept: `stigmer config key set anthropic` keeps one.");
  for (const provider of kept) writeLine(io.stdout, provider);
}

async function askKey(provider: KeyedProvider, io: CommandIo): Promise<string> {
  if (!io.stdin.isTTY) return checkKey(await text(io.stdin), provider);
  const { isCancel, password } = await import("@clack/prompts");
  const key = await password({ ...promptStreams(io), message: `The API key of ${provider}:`, mask: "*" });
  if (isCancel(key)) throw new CliError("interrupted", "Nothing was kept.");
  return checkKey(key ?? "", provider);
}

function checkKey(given: string, provider: KeyedProvider): string {
  const key = given.trim();
  if (key === "") {
    throw new CliError("usage", `No key was given: type it, or \`stigmer config key set ${provider} < FILE\`.`);
  }
  // Not repeated: it may be the key with something beside it.
  if (/\s/.test(key)) throw new CliError("usage", "A key has no blanks and is one line: give the key alone.");
  return key;
}
