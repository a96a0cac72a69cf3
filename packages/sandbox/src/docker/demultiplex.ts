// The engine sends stdout and stderr over one connection, in frames: the stream's number, three zeros, the length, the bytes.
import type { OutputPiece } from "../sandbox.ts";

const headerBytes = 8;

/** Takes what comes over the connection in whatever pieces, and tells what belongs to which stream as it comes. */
export function demultiplex(tell: (stream: OutputPiece["stream"], bytes: Buffer) => void): (chunk: Buffer) => void {
  let header = Buffer.alloc(0);
  let stream: OutputPiece["stream"] = "stdout";
  let left = 0;
  return (chunk) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (left === 0) {
        const wanted = headerBytes - header.length;
        header = Buffer.concat([header, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (header.length < headerBytes) return;
        stream = header[0] === 2 ? "stderr" : "stdout";
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const bytes = rest.subarray(0, left);
      left -= bytes.length;
      rest = rest.subarray(bytes.length);
      tell(stream, bytes);
    }
  };
}
