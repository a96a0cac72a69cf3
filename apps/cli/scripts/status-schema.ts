import { z } from "zod";

const childProcess = z.looseObject({
  name: z.enum(["temporal", "stigmer-server", "agent-runner"]),
  pid: z.int().describe("0 while it has no process."),
  state: z.enum(["starting", "running", "restarting", "failed", "stopping", "stopped"]),
  restarts: z.int().describe("How often it was started again."),
  startedAt: z.string().describe("When its present process was started.").optional(),
  uptimeSeconds: z.int().optional(),
  memoryBytes: z.int().describe("Resident memory. Not told by `local start`.").optional(),
  lastError: z.string().describe("Why it ended last; there once it has crashed.").optional(),
  container: z.string().describe("Of a runner in a container.").optional(),
  image: z.string().optional(),
});

const runs = z.int().describe("A thousand stands for a thousand or more.");

/** What `local status --json` prints. Fields may be added; those that are here stay as they are. */
export const statusSchema: z.ZodType = z
  .looseObject({
    running: z.boolean(),
    dataDir: z.string(),
    endpoint: z.string().describe("`host:port` of the server; empty until it has one."),
    engine: z.enum(["embedded", "temporal"]),
    processes: z.array(childProcess),
    pid: z.int().describe("Of the daemon. This and all below is only there when it runs.").optional(),
    version: z.string().describe("Of the stigmer that runs.").optional(),
    startedAt: z.string().optional(),
    logsDir: z.string().optional(),
    port: z.int().nullable().optional(),
    model: z
      .string()
      .nullable()
      .describe("`provider:model` of runs that name none. Not told by `local start`.")
      .optional(),
    modelError: z.string().describe("What is in that model's way.").optional(),
    queue: z
      .looseObject({ waiting: runs, running: runs, waitingForApproval: runs })
      .nullable()
      .describe("How many runs there are; null when the server does not answer. Not told by `local start`.")
      .optional(),
  })
  .describe("stigmer local status --json");
