import { randomBytes } from "node:crypto";
import { execa } from "execa";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";
import { findPort, makeFolder, startService } from "./service.ts";

/** A Redis of our own, on loopback, in memory. */
export const redis: Requirement = {
  variable: "STIGMER_TEST_REDIS_URL",
  async provide(signal) {
    if (!(await isInstalled())) await installPackage("redis-server");
    const folder = await makeFolder("redis");
    try {
      const port = await findPort();
      const password = randomBytes(16).toString("hex");
      const stop = await startService({
        name: "Redis",
        command: ["redis-server", "-"],
        stdin: [`bind 127.0.0.1`, `port ${port}`, `requirepass ${password}`, 'save ""', `dir ${folder.path}`, ""].join(
          "\n",
        ),
        folder: folder.path,
        ready: /Ready to accept connections/,
        stopSignal: "SIGTERM",
        signal,
      });
      return {
        value: `redis://default:${password}@127.0.0.1:${port}`,
        release: async () => {
          await stop();
          await folder.remove();
        },
      };
    } catch (error) {
      await folder.remove();
      throw error;
    }
  },
};

async function isInstalled(): Promise<boolean> {
  const result = await execa("redis-server", ["--version"], { reject: false, stdin: "ignore" });
  return result.exitCode === 0;
}
