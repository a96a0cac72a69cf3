import { readFileSync } from "node:fs";

/** The version of this package. */
export function readVersion(): string {
  // One folder up both from src/ and from dist/.
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
