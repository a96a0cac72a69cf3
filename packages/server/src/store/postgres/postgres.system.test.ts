import { storeConformance } from "../__fixtures__/conformance/index.ts";
import { silentLogger } from "../../logger.ts";
import { createSchema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";

storeConformance({
  name: "postgres",
  sequences: 30,
  open: async () => {
    const schema = await createSchema();
    const open = () => openPostgresStore({ url: schema.url, logger: silentLogger });
    let store = await open();
    return {
      store,
      reopen: async () => {
        await store.close();
        return (store = await open());
      },
      dispose: async () => {
        await store.close();
        await schema.drop();
      },
    };
  },
});
