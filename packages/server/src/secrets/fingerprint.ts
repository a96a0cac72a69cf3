import { createHmac } from "node:crypto";

/** Tells one key from another and nothing about it. */
export function fingerprintOf(encryptionKey: Uint8Array): string {
  return createHmac("sha256", encryptionKey).update("stigmer backup").digest("hex").slice(0, 16);
}
