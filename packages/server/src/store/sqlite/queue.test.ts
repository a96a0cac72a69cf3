import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { queueStoreConformance } from "@stigmer/engine/conformance";
import { describe, it } from "vitest";
import { openSqliteStore } from "./create-store.ts";

queueStoreConformance({
  name: "sqlite",
  describe,
  it,
  runs: 30,
  create: async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "stigmer-queue-"));
    const store = openSqliteStore({ dataDir });
    return {
      queue: store.queue,
      enqueue: (task) => store.tasks.enqueue(task),
      dispose: async () => {
        await store.close();
        rmSync(dataDir, { recursive: true });
      },
    };
  },
});
