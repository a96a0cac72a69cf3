import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { tool } from "../gate.ts";

/** Packs one package, as npm would get it, into `folder` and returns the tarball's path. Needs a build. */
export async function pack(directory: string, folder: string): Promise<string> {
  const output = await tool("pnpm", ["pack", "--json", "--pack-destination", folder], { cwd: directory });
  const { filename } = JSON.parse(output.slice(output.indexOf("{"))) as { filename: string };
  return filename.startsWith("/") ? filename : join(folder, filename);
}

export interface Packed {
  /** Bytes to download. */
  readonly packed: number;
  /** Bytes on the disk. */
  readonly unpacked: number;
  /** By path within the package. */
  readonly files: ReadonlyMap<string, Buffer>;
}

const BLOCK = 512;

/** Reads a tarball of ours: plain files alone, whose names fit the header (or npm would not take them either). */
export async function readTarball(path: string): Promise<Packed> {
  const bytes = await readFile(path);
  const archive = gunzipSync(bytes);
  const files = new Map<string, Buffer>();
  let unpacked = 0;
  for (let at = 0; archive[at] !== undefined && archive[at] !== 0;) {
    const text = (from: number, length: number): string =>
      archive.toString("utf8", at + from, at + from + length).replace(/\0.*$/s, "");
    const size = Number.parseInt(text(124, 12), 8);
    const type = text(156, 1);
    if (type !== "0" && type !== "") throw new Error(`${path}: ${text(0, 100)} is no plain file (type ${type})`);
    const name = [text(345, 155), text(0, 100)].filter((part) => part !== "").join("/");
    files.set(name.replace(/^package\//, ""), archive.subarray(at + BLOCK, at + BLOCK + size));
    unpacked += size;
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return { packed: bytes.length, unpacked, files };
}
