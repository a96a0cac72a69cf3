import { queueStoreConformance } from "@stigmer/engine/conformance";
import { describe, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { createSchema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";

queueStoreConformance({
  name: "postgres",
  describe,
  it,
  runs: 15,
  create: async () => {
    const schema = await createSchema();
    const store = await openPostgresStore({ url: schema.url, logger: silentLogger });
    return {
      queue: store.queue,
      enqueue: (task) => store.tasks.enqueue(task),
      dispose: async () => {
        await store.close();
        await schema.drop();
      },
    };
  },
});
