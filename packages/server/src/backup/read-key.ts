import { readFileSync } from "node:fs";
import { join } from "node:path";
import { KEY_FILE } from "./finish-restore.ts";

/** The key that a data directory keeps, if it has one. What is wrong with it the server says when it starts. */
export function readKey(dataDir: string): Uint8Array | undefined {
  try {
    return Buffer.from(readFileSync(join(dataDir, KEY_FILE), "utf8").trim(), "base64url");
  } catch {
    return undefined;
  }
}
