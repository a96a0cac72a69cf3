import { execFile } from "node:child_process";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../__fixtures__/local-server.ts";

// Each command as the program that people start. What it does in every case is tested beside it, without a process each time.

const main = join(import.meta.dirname, "../main.ts");
let server: LocalServer;
let cwd: string;
beforeAll(async () => {
  server = await startLocalServer();
  cwd = await mkdtemp(join(server.home, "work-"));
});
afterAll(() => server[Symbol.asyncDispose]());

function stigmer(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = {
    PATH: process.env["PATH"],
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
    STIGMER_HOME: server.home,
    STIGMER_BACKEND_ENDPOINT: server.endpoint,
    EDITOR: "sed -i.bak 's/description: .*/description: Edited./'",
  };
  return new Promise((done) => {
    execFile(process.execPath, ["--conditions=@stigmer/source", main, ...args], { cwd, env }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code), out: out.replaceAll(/-[0-9a-z]{26}/g, "-…"), err }),
    );
  });
}

test("a resource's life, from its file to its end", async () => {
  expect(await stigmer("new", "agent", "helper")).toMatchObject({ code: 0, out: "helper.yaml is made\n" });
  expect(await stigmer("new", "skill", "tidy")).toMatchObject({ code: 0, out: "tidy/SKILL.md is made\n" });
  expect(await stigmer("skill", "push", "tidy")).toMatchObject({ code: 0 });

  expect(await stigmer("validate", "-f", "helper.yaml")).toEqual({
    code: 0,
    out: "helper.yaml:2: Agent helper is valid\n",
    err: "",
  });
  expect(await stigmer("diff", "-f", "helper.yaml")).toMatchObject({ code: 1, err: "" });
  expect(await stigmer("apply", "-f", "helper.yaml", "--dry-run", "--set", "mine")).toEqual({
    code: 0,
    out: "Agent helper created (dry run)\n",
    err: "",
  });
  expect(await stigmer("apply", "-f", "helper.yaml", "--set", "mine")).toEqual({
    code: 0,
    out: "Agent helper created (agt-…)\n",
    err: "",
  });
  expect(await stigmer("diff", "-f", "helper.yaml", "--set", "mine")).toEqual({ code: 0, out: "", err: "" });

  expect(await stigmer("edit", "agent", "helper")).toEqual({ code: 0, out: "agent helper edited\n", err: "" });
  const described = await stigmer("describe", "agent", "helper");
  expect(described.out).toMatch(/^Description: +Edited\.$/m);
  expect(await stigmer("get", "agents", "-l", "stigmer.ai/apply-set=mine", "-o", "name")).toEqual({
    code: 0,
    out: "agent/helper\n",
    err: "",
  });
  expect(JSON.parse((await stigmer("get", "agent", "helper", "-o", "json")).out)).toMatchObject({
    kind: "Agent",
    spec: { description: "Edited." },
  });

  const text = await readFile(join(cwd, "helper.yaml"), "utf8");
  await writeFile(join(cwd, "other.yaml"), text.replace("name: helper", "name: other"));
  expect(await stigmer("apply", "-f", "other.yaml", "--set", "mine", "--prune", "--yes")).toEqual({
    code: 0,
    out: "Agent other created (agt-…)\nAgent helper pruned (agt-…)\n",
    err: "",
  });
  expect(await stigmer("delete", "agent", "other", "helper", "--ignore-not-found")).toEqual({
    code: 0,
    out: "agent other deleted\n",
    err: "",
  });
});
