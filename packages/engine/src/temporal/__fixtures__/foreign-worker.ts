import { fileURLToPath } from "node:url";
import { CompleteAsyncError, Context } from "@temporalio/activity";
import { Client, Connection } from "@temporalio/client";
import { NativeConnection, Worker } from "@temporalio/worker";
import { quiet } from "../../embedded/__fixtures__/server.ts";
import { quietRuntime } from "../quiet-runtime.ts";
import type { DevServer } from "./dev-server.ts";

const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const dataConverter = { payloadConverterPath: beside("foreign-converter.ts") };

/** The worker and the client of another author. */
export interface ForeignWorker {
  readonly client: Client;
  readonly taskQueue: string;
  /** The token of each activity `runAgent` that waits for somebody to answer for it. */
  readonly tokens: Uint8Array[];
  close(): Promise<void>;
}

export async function startForeignWorker(dev: DevServer, namespace: string): Promise<ForeignWorker> {
  quietRuntime(quiet);
  const native = await NativeConnection.connect({ address: dev.address });
  const connection = await Connection.connect({ address: dev.address });
  const taskQueue = "foreign";
  const tokens: Uint8Array[] = [];
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue,
    workflowsPath: beside("foreign-workflows.ts"),
    dataConverter,
    activities: {
      runAgent: async () => {
        tokens.push(Context.current().info.taskToken);
        throw new CompleteAsyncError();
      },
    },
  });
  const running = worker.run();
  return {
    client: new Client({ connection, namespace, dataConverter }),
    taskQueue,
    tokens,
    close: async () => {
      worker.shutdown();
      await running;
      await connection.close();
      await native.close();
    },
  };
}
