import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { apiKey, startDaytonaServer, type DaytonaServer } from "../daytona/__fixtures__/daytona-server.ts";
import { createDaytonaSandbox } from "../daytona/index.ts";
import { createFilesystemSandbox } from "../filesystem/index.ts";
import { describeDeepAgent } from "./__fixtures__/describe-deep-agent.ts";
import { toDeepAgentsBackend } from "./index.ts";

// The other backends need more than Node: deep-agent.system.test.ts.

let directory: string;
let server: DaytonaServer;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "deep-agent-")));
  server = await startDaytonaServer();
});

afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

describeDeepAgent("filesystem", () => createFilesystemSandbox({ rootDir: join(directory, "filesystem") }));
describeDeepAgent("daytona", () =>
  createDaytonaSandbox({ apiKey, apiUrl: server.apiUrl, target: "local", rootDir: join(directory, "daytona") }),
);

test("glob tells paths relative to what is searched when asked to, as LangChain's own sandboxes do", async () => {
  const sandbox = await createFilesystemSandbox({ rootDir: join(directory, "relative") });
  const backend = toDeepAgentsBackend(sandbox, { globPaths: "relative" });
  await sandbox.files.upload(["src/a.ts", "src/b/c.ts"].map((path) => ({ path, content: "" })));
  const paths = async (pattern: string, path?: string): Promise<string[]> => {
    const found = await backend.glob(pattern, path);
    return found.error === undefined ? found.files.map((info) => info.path) : [found.error];
  };
  expect(await paths("**", `${sandbox.root}/src`)).toEqual(["a.ts", "b/", "b/c.ts"]);
  expect(await paths("*.ts", "/src")).toEqual(["a.ts"]);
  expect(await paths("src/*.ts")).toEqual(["src/a.ts"]);
  expect(await paths(`${sandbox.root}/src/*.ts`, "/src/b")).toEqual(["src/a.ts"]);
  await sandbox.dispose();
});
