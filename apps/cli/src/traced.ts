import { readTraces } from "@stigmer/config";
import { inSpan, startTracing } from "@stigmer/telemetry";
import type { CommandIo } from "./command-io.ts";
import { readVersion } from "./version.ts";

/** Does a command's work within a span, which what servers and runners do for it is traced below, where the environment says so. */
export async function traced<T>(name: string, io: CommandIo, work: () => Promise<T>): Promise<T> {
  const { serviceName = "stigmer", ...where } = readTraces(io.env);
  const onError = (error: unknown): void =>
    void io.stderr.write(`The spans of this command were lost: ${error instanceof Error ? error.message : error}\n`);
  const tracing = await startTracing({ serviceName, version: readVersion(), ...where, onError });
  try {
    return await inSpan({ scope: "@stigmer/cli", name }, work);
  } finally {
    await tracing.close();
  }
}
