import type { AsyncEntry as Entry } from "@napi-rs/keyring";
import type { KeyedProvider } from "@stigmer/config";
import { CliError } from "../errors.ts";
import { type Keychain, unreachable } from "./keychain.ts";

const SERVICE = "stigmer";

/** A person may have to type a password first. */
const ANSWERS_WITHIN_MS = 60_000;

/** The keychain of the operating system. Its package is optional, and loaded here alone: who keeps no key there never loads it. */
export async function openSystemKeychain(): Promise<Keychain> {
  const { AsyncEntry } = await import("@napi-rs/keyring").catch((error: unknown) => {
    throw new CliError(
      "failed",
      "The keychain can't be used: the optional package @napi-rs/keyring is not installed, or not made for this system. Install stigmer with optional dependencies, or set the key in the environment, such as ANTHROPIC_API_KEY. Nothing was written.",
      { cause: error },
    );
  });
  // Without a Secret Service, Linux would fall back to the kernel's keyring, which forgets at the next boot.
  const entryOf = (provider: KeyedProvider): Entry =>
    new AsyncEntry(SERVICE, provider, { linux: { store: "secret-service" } });
  const ask = async <Answer>(provider: KeyedProvider, call: (entry: Entry) => Promise<Answer>): Promise<Answer> => {
    try {
      return await inTime(call(entryOf(provider)));
    } catch (error) {
      throw unreachable(error);
    }
  };
  try {
    // Finds the service, where it is one, and asks for nothing: no person is disturbed.
    entryOf("anthropic");
  } catch (error) {
    throw unreachable(error);
  }
  return {
    get: async (provider) => (await ask(provider, (entry) => entry.getPassword())) ?? undefined,
    set: (provider, key) => ask(provider, (entry) => entry.setPassword(key)),
    delete: async (provider) => void (await ask(provider, (entry) => entry.deletePassword())),
  };
}

async function inTime<Answer>(answer: Promise<Answer>): Promise<Answer> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`no answer within ${ANSWERS_WITHIN_MS / 1000} s`)),
    ANSWERS_WITHIN_MS,
  );
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
