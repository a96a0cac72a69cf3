import { createServer } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, startCli, startLocalServer } from "../../__fixtures__/local-server.ts";

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
  for (const slug of ["reviewer", "writer"]) {
    const spec = { description: `The ${slug}.\tReally`, instructions: "Answer in few words." };
    await server.client.agents.apply({ metadata: { name: slug }, spec });
  }
});
afterAll(() => server[Symbol.asyncDispose]());

async function complete(...words: string[]): Promise<string[]> {
  const { code, out, err } = await server.cli("internal", "complete", "--", ...words);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out.endsWith("\n")).toBe(true);
  return out
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t")[0] ?? "");
}

test.each<[words: string[], expected: string[]]>([
  [
    ["skill", "l"],
    ["list", "lint", "lock", ":none"],
  ],
  [["internal", ""], [":none"]],
  [
    ["skill", "lint", "--s"],
    ["--strict", ":none"],
  ],
  [
    ["get", "agents", "-o", ""],
    ["table", "yaml", "json", "name", ":none"],
  ],
  [
    ["get", "agents", "--output=j"],
    ["--output=json", ":none"],
  ],
  [
    ["get", "agents", "--output", "=", "j"],
    ["json", ":none"],
  ],
  [
    ["get", "agents", "--output", "="],
    ["table", "yaml", "json", "name", ":none"],
  ],
  [
    ["get", "e"],
    ["execution", "environment", ":none"],
  ],
  [
    ["get", "agents", ""],
    ["reviewer", "writer", ":none"],
  ],
  [
    ["get", "agent", "w"],
    ["writer", ":none"],
  ],
  [["get", "pods", ""], [":none"]],
  [
    ["run", "r"],
    ["reviewer", ":none"],
  ],
  [
    ["run", "--json", "--model", "m", "r"],
    ["reviewer", ":none"],
  ],
  [["run", "reviewer", ""], [":none"]],
  [["run", "--", "--h"], [":none"]],
  [["run", "a", "b", "--workspace", ""], [":folders"]],
  [["apply", "-f", ""], [":files"]],
  [["skill", "lint", ""], [":folders"]],
  [
    ["local", "logs", "a"],
    ["agent-runner", ":none"],
  ],
  [
    ["help", "skill", "pu"],
    ["push", "pull", ":none"],
  ],
  [
    ["help", "ex"],
    ["execution", "exit-codes", ":none"],
  ],
  [
    ["completion", "f"],
    ["fish", ":none"],
  ],
  [["frobnicate", ""], [":none"]],
  [
    ["--help", "--verb"],
    ["--verbose", ":none"],
  ],
])("%j may become %j", async (words, expected) => {
  expect((await complete(...words)).toSorted()).toEqual(expected.toSorted());
});

test("runs are completed by id, with what they are as the description", async () => {
  const { out, err } = await server.cli("run", "reviewer", "Look at it.", "--detach");
  const id = /aex-\w+/.exec(`${out}${err}`)?.[0] ?? "";
  const answer = await server.cli("internal", "complete", "--", "execution", "watch", "");
  expect(answer.out).toMatch(new RegExp(`^${id}\t.*Look at it\\.\n:none\n$`));
  expect((await server.cli("internal", "complete", "--", "get", "agents", "")).out).toContain(
    "reviewer\tThe reviewer. Really\n",
  );
});

test("a server that is away, or says nothing, costs no error and little time", async () => {
  const mute = createServer(() => {}).listen(0, "127.0.0.1");
  await once(mute, "listening");
  const { port } = mute.address() as { port: number };
  try {
    for (const endpoint of ["127.0.0.1:1", `127.0.0.1:${port}`, "not an address"]) {
      const env = { STIGMER_HOME: server.home, STIGMER_BACKEND_ENDPOINT: endpoint };
      const started = startCli(["internal", "complete", "--", "run", ""], { env });
      expect(await started.done).toEqual({ code: 0, out: ":none\n", err: "" });
    }
  } finally {
    mute.close();
  }
});
