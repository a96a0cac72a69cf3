import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below what Linux (32768) and macOS (49152) take from for connections and for whoever listens on port 0. */
const OF_NOBODY = { from: 15_000, to: 32_000 };

/**
 * The first of `count` ports of 127.0.0.1 in a row on which nobody listens. They are for a process that starts some time later, so
 * they are not of those that the system hands out: what else starts meanwhile would be given them.
 */
export async function freePorts(count = 1): Promise<number> {
  for (;;) {
    const first = randomInt(OF_NOBODY.from, OF_NOBODY.to - count);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const free = await Promise.all(ports.map((port) => isFree(port)));
    if (free.every(Boolean)) return first;
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen(port, "127.0.0.1");
    await once(probe, "listening");
  } catch {
    return false;
  }
  probe.close();
  await once(probe, "close");
  return true;
}
