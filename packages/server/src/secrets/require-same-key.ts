import { ServerError } from "../errors.ts";
import type { SettingStore } from "../store/setting-store.ts";
import { fingerprintOf } from "./fingerprint.ts";

/** In the table `settings`: the fingerprint of the key. */
export const KEY_SETTING = "encryption-key";

/**
 * Holds a server's key against the one that the first server of its database had, of which a fingerprint is kept: with another
 * one it could read no secret that is stored, nor the others those that it stores. `place` says where the key is from. Throws
 * `ServerError` `wrong-key`.
 */
export async function requireSameKey(settings: SettingStore, key: Uint8Array, place: string): Promise<void> {
  const fingerprint = fingerprintOf(key);
  if ((await settings.keepFirst(KEY_SETTING, fingerprint)) === fingerprint) return;
  throw new ServerError(
    "wrong-key",
    `The secrets in this server's database are sealed with another encryption key than the one in ${place}: put that key there, ` +
      `all servers of a database have the same. If it is lost, run DELETE FROM settings WHERE name = '${KEY_SETTING}' on the database, ` +
      "and give the secrets anew.",
  );
}
