import type { KeyedProvider } from "@stigmer/config";
import { type OpenKeychain, unreachable } from "../keychain/keychain.ts";

export interface MemoryKeychain {
  readonly keys: Map<KeyedProvider, string>;
  readonly open: OpenKeychain;
  /** How often it was opened. */
  readonly opened: () => number;
}

/** A keychain in memory; `fault` is why none can be reached. */
export function memoryKeychain(fault?: string): MemoryKeychain {
  const keys = new Map<KeyedProvider, string>();
  let opened = 0;
  return {
    keys,
    opened: () => opened,
    async open() {
      opened++;
      if (fault !== undefined) throw unreachable(new Error(fault), "linux");
      return {
        get: async (provider) => keys.get(provider),
        set: async (provider, key) => void keys.set(provider, key),
        delete: async (provider) => void keys.delete(provider),
      };
    },
  };
}
