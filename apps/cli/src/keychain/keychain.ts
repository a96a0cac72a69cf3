import type { KeyedProvider } from "@stigmer/config";
import { CliError } from "../errors.ts";

/** Where the operating system keeps secrets for its user. Each call may ask that user to unlock it. */
export interface Keychain {
  /** The key of a provider; undefined when none is kept. */
  get(provider: KeyedProvider): Promise<string | undefined>;
  set(provider: KeyedProvider, key: string): Promise<void>;
  /** That there was none is no failure. */
  delete(provider: KeyedProvider): Promise<void>;
}

/** Reaches the keychain, or throws a `CliError` that says why it can't be reached, and what to do. */
export type OpenKeychain = () => Promise<Keychain>;

const NAMES: Partial<Record<NodeJS.Platform, { readonly name: string; readonly fix: string }>> = {
  darwin: { name: "the macOS Keychain", fix: "unlock it in Keychain Access" },
  win32: { name: "the Windows Credential Manager", fix: "start its service (VaultSvc)" },
};

const SECRET_SERVICE = {
  name: "the Secret Service",
  fix: "start one in your session (GNOME Keyring, KWallet or KeePassXC)",
};

/** What stands in the way, of what, and how to go on without. `cause` is the system's own word; none of them quotes a secret. */
export function unreachable(cause: unknown, platform: NodeJS.Platform = process.platform): CliError {
  const { name, fix } = NAMES[platform] ?? SECRET_SERVICE;
  const said = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]?.slice(0, 150);
  return new CliError(
    "failed",
    `The keychain can't be used, ${name} (${said}): ${fix}, or set the key in the environment, such as ANTHROPIC_API_KEY. Nothing was written.`,
    { cause },
  );
}

export const keyVariables: Readonly<Record<KeyedProvider, "ANTHROPIC_API_KEY" | "OPENAI_API_KEY">> = {
  anthropic: "ANTHROPIC_API_KEY",
  openai: "OPENAI_API_KEY",
};
