// Writes zips, sound ones and such as no honest program writes: every field can be lied in.
import { crc32, deflateRawSync } from "node:zlib";

export interface ZipEntry {
  readonly name: string;
  readonly content?: string | Uint8Array;
  /** The Unix mode with its file type, such as `0o120777` for a symbolic link. Default: none, as other systems write it. */
  readonly mode?: number;
  /** Default: deflate. */
  readonly stored?: boolean;
  /** What the directory says instead of what is true. */
  readonly lies?: {
    readonly size?: number;
    readonly checksum?: number;
    readonly method?: number;
    readonly flags?: number;
    /** Points to the bytes of the entry of that name. */
    readonly bytesOf?: string;
  };
}

/** The bytes of a zip with these entries, in this order. */
export function buildZip(entries: readonly ZipEntry[]): Uint8Array {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  const offsets = new Map<string, { readonly offset: number; readonly packed: number }>();
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const content = Buffer.from(entry.content ?? "");
    const { lies = {} } = entry;
    const method = lies.method ?? (entry.stored ? 0 : 8);
    const shared = lies.bytesOf === undefined ? undefined : offsets.get(lies.bytesOf);
    const packed = entry.stored ? content : deflateRawSync(content, { level: 9 });
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE((lies.flags ?? 0) | 0x0800, 2);
    common.writeUInt16LE(method, 4);
    // 1 January 2026.
    common.writeUInt16LE((46 << 9) | (1 << 5) | 1, 8);
    common.writeUInt32LE((lies.checksum ?? crc32(content)) >>> 0, 10);
    common.writeUInt32LE(shared?.packed ?? packed.length, 14);
    common.writeUInt32LE(lies.size ?? content.length, 18);
    common.writeUInt16LE(name.length, 22);
    if (!shared) {
      offsets.set(entry.name, { offset, packed: packed.length });
      locals.push(Buffer.from("PK\u0003\u0004"), common, name, packed);
    }
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 6);
    tail.writeUInt32LE(shared?.offset ?? offset, 10);
    // Made by Unix, so that modes count.
    directory.push(Buffer.from("PK\u0001\u0002\u0014\u0003", "latin1"), common, tail, name);
    if (!shared) offset += 30 + name.length + packed.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\u0005\u0006", "latin1");
  end.writeUInt16LE(Math.min(entries.length, 0xffff), 8);
  end.writeUInt16LE(Math.min(entries.length, 0xffff), 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, central, end]);
}
