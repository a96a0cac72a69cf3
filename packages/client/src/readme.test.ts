import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

// Every example of the README is run, those in ```typescript here, with a server and a runner at hand. One that makes no client
// gets what its text speaks of.
const packageDir = dirname(import.meta.dirname);
const readme = await readFile(join(packageDir, "README.md"), "utf8");
const examples = [...readme.matchAll(/^```typescript\n(?<code>.*?)^```$/gms)].map(
  ({ groups }) => groups?.["code"] ?? "",
);

let platform: Platform;
let executionId: string;
let sessionId: string;
let printed: string[];
const files: string[] = [];

beforeAll(async () => {
  platform = await startPlatform();
  process.env["STIGMER_API_KEY"] = platform.server.apiKey;
  await platform.client.agents.apply({ name: "Greeter", instructions: "Greet whoever writes to you." });
  const run = platform.client.executions.run({ agent: "greeter", message: "Hello" });
  executionId = run.id;
  sessionId = (await run.execution).spec?.sessionId ?? "";
});
afterAll(async () => {
  for (const file of files) await rm(file, { force: true });
  delete process.env["STIGMER_API_KEY"];
  await platform[Symbol.asyncDispose]();
});
beforeEach(() => {
  printed = [];
  const print = (...parts: unknown[]): boolean => printed.push(parts.map(String).join(" ")) > 0;
  vi.spyOn(console, "log").mockImplementation(print);
  vi.spyOn(console, "error").mockImplementation(print);
  vi.spyOn(process.stdout, "write").mockImplementation(print as typeof process.stdout.write);
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** What the example prints, in one line. */
async function run(code: string): Promise<string> {
  const preamble = `
    import { ClientError, createClient } from "@stigmer/client";
    import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
    using client = createClient({ endpoint: "localhost:50051", apiKey: process.env.STIGMER_API_KEY! });
    const executionId = ${JSON.stringify(executionId)};
    const sessionId = ${JSON.stringify(sessionId)};
  `;
  const program = (/create\w*Client\(/.test(code) ? code : preamble + code).replaceAll(
    "localhost:50051",
    platform.server.endpoint,
  );
  const file = join(packageDir, `.readme-${process.pid}-${files.length}.ts`);
  files.push(file);
  await writeFile(file, `${program}\nexport {};\n`);
  await import(/* @vite-ignore */ pathToFileURL(file).href);
  return printed.join(" ").replaceAll(/\s+/g, " ").trim();
}

it("there are all of them", () => {
  expect(examples).toHaveLength(8);
});

it.each<[string, RegExp, RegExp]>([
  ["quick start", /import \{ createClient \}/, /^You said: Bonjour !$/],
  ["runs", /secrets:/, /^aex-\w{26}/],
  ["speaking to a run", /sendMessage/, /^$/],
  ["a conversation", /listBySession/, /Who am I\? aex-\w{26} I am Ada\.$/],
  ["watching", /watchList/, /completed/],
  ["resources", /environmentRefs/, /^1$/],
  [
    "errors",
    /ClientError\.is/,
    /^invalid-argument agent "Greeter": spec\.instructions: .* false spec\.instructions string\.min_len$/,
  ],
  ["a page", /createWebClient/, /^You said: Hello from a page$/],
])("%s runs", async (_, mark, expected) => {
  const found = examples.filter((code) => mark.test(code));
  expect(found).toHaveLength(1);
  expect(await run(found[0] ?? "")).toMatch(expected);
});
