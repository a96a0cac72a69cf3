// A worker of Temporal in a process of its own, whose one activity has nothing to do.
import { fileURLToPath } from "node:url";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import { serve } from "../server/program.ts";

export type BareWorker = {
  /** Resolves when it polls. */
  readonly open: (input: { readonly address: string; readonly taskQueue: string }) => Promise<void>;
};

const methods: BareWorker = {
  async open({ address, taskQueue }) {
    Runtime.install({ logger: new DefaultLogger("WARN") });
    const worker = await Worker.create({
      connection: await NativeConnection.connect({ address }),
      taskQueue,
      workflowsPath: fileURLToPath(new URL("bare-workflow.ts", import.meta.url)),
      activities: { work: async () => "done" },
    });
    worker.run().catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  },
};
serve(methods);
