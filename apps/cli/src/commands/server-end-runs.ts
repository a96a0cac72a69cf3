import { endOpenRuns } from "@stigmer/server";
import type { CommandIo } from "../command-io.ts";
import { writeLine } from "../output/write.ts";
import { inDatabase } from "./server-database.ts";

const REASON =
  "The server's database was restored to an earlier point, and what this run did after that is in no record any more: " +
  "look at what it did, then ask its session for what is missing.";

/** Sees to it that nothing goes on in a restored database which may have been done already. */
export async function serverEndRuns(_options: object, io: CommandIo): Promise<void> {
  const runs = await inDatabase(io, (place) => endOpenRuns({ ...place, reason: REASON }));
  if (runs === 0) writeLine(io.stdout, "No run was under way.");
  else
    writeLine(io.stdout, `${runs} ${runs === 1 ? "run" : "runs"} had not ended: the next server to start ends them.`);
}
