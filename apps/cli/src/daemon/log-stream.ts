import { writeSync } from "node:fs";
import { Writable } from "node:stream";

/**
 * Writes to a log file that this process was started with as its stdout (1) or stderr (2). A full disk ends nobody: a
 * line that can't be written is lost, and the next one is tried again. Node's own stream ends with its first error.
 */
export function createLogStream(fd: 1 | 2): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        writeSync(fd, chunk);
      } catch {
        // There is no other place to say it.
      }
      done();
    },
  });
}
