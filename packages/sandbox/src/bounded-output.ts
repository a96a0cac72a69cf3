// The output of a command in bounded memory: its beginning, its end, and how much lies between.

const continuationByte = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/** Bytes that the character which starts with this byte takes. */
function characterLength(lead: number): number {
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 1;
}

/**
 * Takes any number of bytes and keeps at most `limit`: all, or else the first half and the last. One growing buffer, not
 * a list of chunks: a command that prints byte by byte would else cost an object for each.
 */
export class BoundedOutput {
  readonly #limit: number;
  readonly #headBytes: number;
  #buffer = Buffer.alloc(0);
  #total = 0;

  /** `keep`: both ends of what is too long, half and half, or all of the limit for its end. */
  constructor(limit: number, keep: "both-ends" | "end" = "both-ends") {
    this.#limit = limit;
    this.#headBytes = keep === "end" ? 0 : limit - Math.floor(limit / 2);
  }

  get truncated(): boolean {
    return this.#total > this.#limit;
  }

  write(chunk: Uint8Array): void {
    let rest = chunk;
    if (this.#total < this.#limit) {
      const fits = rest.subarray(0, this.#limit - this.#total);
      this.#reserve(this.#total + fits.length);
      this.#buffer.set(fits, this.#total);
      this.#total += fits.length;
      rest = rest.subarray(fits.length);
    }
    this.#overwriteTail(rest);
  }

  /** What was kept as text, with a line in place of what was not. Never cuts a character in two. */
  text(): string {
    const kept = this.#buffer.subarray(0, Math.min(this.#total, this.#limit));
    if (!this.truncated) return kept.toString("utf8");
    const head = withoutPartialEnd(kept.subarray(0, this.#headBytes));
    const tail = withoutPartialStart(this.#orderedTail());
    const leftOut = this.#total - head.length - tail.length;
    return `${head.toString("utf8")}\n[... ${leftOut} bytes left out ...]\n${tail.toString("utf8")}`;
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const grown = Buffer.alloc(Math.min(this.#limit, Math.max(size, this.#buffer.length * 2, 4096)));
    grown.set(this.#buffer.subarray(0, this.#total));
    this.#buffer = grown;
  }

  /** The second half is a ring: byte number n of the output, counted from the end of the head, lies at n modulo its size. */
  #overwriteTail(bytes: Uint8Array): void {
    const ringBytes = this.#limit - this.#headBytes;
    if (ringBytes === 0) {
      this.#total += bytes.length;
      return;
    }
    // What would be overwritten in this same call is not worth copying.
    const skipped = Math.max(0, bytes.length - ringBytes);
    this.#total += skipped;
    let rest = bytes.subarray(skipped);
    while (rest.length > 0) {
      const at = (this.#total - this.#headBytes) % ringBytes;
      const piece = rest.subarray(0, ringBytes - at);
      this.#buffer.set(piece, this.#headBytes + at);
      this.#total += piece.length;
      rest = rest.subarray(piece.length);
    }
  }

  #orderedTail(): Buffer {
    const ring = this.#buffer.subarray(this.#headBytes, this.#limit);
    if (ring.length === 0) return ring;
    const start = (this.#total - this.#headBytes) % ring.length;
    return Buffer.concat([ring.subarray(start), ring.subarray(0, start)]);
  }
}

function withoutPartialEnd(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (continuationByte(byte)) continue;
    return characterLength(byte) > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}

function withoutPartialStart(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && continuationByte(bytes[start])) start++;
  return bytes.subarray(start);
}
