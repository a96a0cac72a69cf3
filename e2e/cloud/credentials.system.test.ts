import { createClient } from "@stigmer/client";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Result, type Started, until } from "../stigmer.ts";
import { type Ground, openGround } from "./ground.ts";
import { type Issuer, startIssuer } from "./issuer.ts";

// Keys and tokens at the real server, by the real command line: what is taken, what is refused and how, and what becomes of it while
// the issuer is away.

vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

type Server = Awaited<ReturnType<Ground["startServer"]>>;

let ground: Ground;
let issuer: Issuer;
let server: Server;
beforeAll(async () => {
  ground = await openGround();
  issuer = await startIssuer();
  server = await ground.startServer(oidc());
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  await issuer?.[Symbol.asyncDispose]();
});

const oidc = (): Readonly<Record<string, string>> => ({
  STIGMER_OIDC_ISSUER: issuer.url,
  STIGMER_OIDC_AUDIENCE: "stigmer",
});
const ofAcme = { sub: "ada", org: "acme", role: "member" };
const ofGlobex = { sub: "bob", org: "globex", role: "member" };
const agent = (name: string): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: ${name} }\nspec: { instructions: You greet. }\n`;

function start(apiKey: string, args: readonly string[], manifest = ""): Started {
  const env = { STIGMER_HOME: `${ground.folder}/person`, STIGMER_BACKEND_ENDPOINT: server.endpoint };
  return ground.stigmer(args, { ...env, STIGMER_API_KEY: apiKey }, manifest);
}

function stigmer(apiKey: string, args: readonly string[], manifest?: string): Promise<Result> {
  return start(apiKey, args, manifest).result;
}

/** One line, exit code 1, and nothing of the token. */
async function expectRefused(apiKey: string, says: readonly string[], args = ["get", "agents"]): Promise<void> {
  const { exitCode, stdout, stderr } = await stigmer(apiKey, args);
  expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 1, stdout: "" });
  for (const words of says) expect(stderr).toContain(words);
  expect(stderr).toMatch(/^\S[^\n]{10,600}\n$/);
  expect(stderr).not.toContain(apiKey);
  expect(stderr).not.toMatch(/\n\s+at |node:internal|\[object|undefined/);
}

describe("a token of the issuer", () => {
  it("is a key of its organisation, for the command line too", async () => {
    const [acme, globex] = [await issuer.sign(ofAcme), await issuer.sign(ofGlobex)];
    for (const [token, name] of [
      [acme, "greeter"],
      [globex, "welcomer"],
    ] as const) {
      expect(await stigmer(token, ["apply", "-f", "-"], agent(name))).toMatchObject({ exitCode: 0, stderr: "" });
    }
    const names = async (token: string): Promise<string[]> => {
      const { stdout, stderr } = await stigmer(token, ["get", "agents", "-o", "json"]);
      const agents = JSON.parse(stdout || stderr) as { metadata: { name: string; org: string } }[];
      return agents.map(({ metadata }) => `${metadata.org}/${metadata.name}`);
    };
    expect(await names(acme)).toEqual(["acme/greeter"]);
    expect(await names(globex)).toEqual(["globex/welcomer"]);
    await expectRefused(globex, ["greeter"], ["get", "agent", "greeter"]);
    await expectRefused(globex, ["greeter"], ["delete", "agent", "greeter"]);
    // What a role may not do is said as that.
    const viewer = await issuer.sign({ ...ofAcme, sub: "eve", role: "viewer" });
    await expectRefused(viewer, ["viewer"], ["delete", "agent", "greeter"]);
    expect(await names(acme)).toEqual(["acme/greeter"]);
  });

  it.concurrent.each<[string, object, string[]]>([
    ["that has expired", { exp: Math.floor(Date.now() / 1000) - 60 }, ["the token has expired on 2", "get another"]],
    [
      "of another issuer",
      { iss: "https://elsewhere.example.com" },
      ['issued by "https://elsewhere.example.com"', "takes those of"],
    ],
    ["for another audience", { aud: "mail" }, ['the token is for "mail"', 'takes those for "stigmer"']],
    ["without an organisation", { org: undefined }, ["names no organization", '"org"']],
    ["of a runner", { role: "runner" }, ["names no role", "runners call with an API key"]],
    ["that is not good yet", { nbf: Math.floor(Date.now() / 1000) + 600 }, ["is good from", "is a clock wrong?"]],
  ])("%s is refused", async (_, claims, says) => {
    await expectRefused(await issuer.sign({ ...ofAcme, ...claims }), says);
  });

  it("of a key that the issuer does not have is refused", async () => {
    await using other = await startIssuer();
    await expectRefused(await other.sign({ ...ofAcme, iss: issuer.url }), ["signature is wrong"]);
  });
});

describe("a key", () => {
  it("that was revoked is refused, and ends what is watched with it", async () => {
    const owner = await ground.createKey("--org", "acme", "--role", "owner");
    const watcher = await ground.createKey("--org", "acme", "--role", "viewer", "--name", "watcher");
    await stigmer(owner, ["apply", "-f", "-"], agent("waiter"));
    const client = createClient({ endpoint: server.endpoint, apiKey: owner, org: "acme" });
    const eyes = createClient({ endpoint: server.endpoint, apiKey: watcher, org: "acme" });
    try {
      // No runner is there: it waits for as long as the test takes.
      const run = client.executions.run({ agent: "waiter", message: "Wait for somebody." });
      await run.execution;
      const watch = eyes.executions.watch(run.id)[Symbol.asyncIterator]();
      expect((await watch.next()).done).toBe(false);
      const watching = start(watcher, ["execution", "watch", run.id, "--json"]);
      await watching.printed(run.id);
      const { stdout } = await stigmer(owner, ["key", "list", "-o", "json"]);
      const keys = JSON.parse(stdout) as { id: string; name: string }[];
      const revoked = await stigmer(owner, ["key", "revoke", "watcher"]);
      expect(revoked, `${revoked.stderr} ${JSON.stringify(keys)}`).toMatchObject({ exitCode: 0 });
      await expect(watch.next()).rejects.toMatchObject({ code: "unauthenticated" });
      const { exitCode, stderr } = await watching.result;
      expect([exitCode, stderr.trimEnd().split("\n").at(-1)]).toEqual([
        1,
        expect.stringContaining("refuses the key that was shown"),
      ]);
      await expectRefused(watcher, ["refuses the key", "set STIGMER_API_KEY"]);
      expect(await client.executions.get(run.id)).toMatchObject({ status: { phase: 1 } });
      await client.executions.cancel(run.id);
    } finally {
      client.close();
      eyes.close();
    }
  });
});

describe("while the issuer is away", () => {
  it("tokens of keys that are known are taken, those of new ones when it is back, and keys of the server always", async () => {
    const known = await issuer.sign(ofAcme);
    const owner = await ground.createKey("--org", "acme", "--role", "owner");
    expect(await stigmer(known, ["get", "agents"])).toMatchObject({ exitCode: 0 });
    await issuer.rotate();
    const unknown = await issuer.sign(ofAcme);
    await issuer.goAway();
    const says = ["the token can't be checked now", issuer.url, "ECONNREFUSED", "try again later"];
    // Keys that were fetched a moment ago are not fetched again for one that is not among them.
    await until(async () => (await stigmer(unknown, ["get", "agents"])).stderr.includes(says[0] ?? ""), 60);
    await expectRefused(unknown, says);
    for (const key of [known, owner]) expect(await stigmer(key, ["get", "agents"])).toMatchObject({ exitCode: 0 });
    expect(server.part.printed()).toContain("the issuer of tokens can't be asked for its keys");
    await issuer.comeBack();
    await until(async () => (await stigmer(unknown, ["get", "agents"])).exitCode === 0, 60);
    expect(server.part.printed()).toContain("the issuer of tokens answers again");
  });

  it("a server starts, and takes tokens as soon as the issuer is there", async () => {
    await issuer.goAway();
    const before = server;
    server = await ground.startServer(oidc());
    try {
      await until(async () => server.part.printed().includes("the issuer of tokens can't be asked for its keys"));
      const token = await issuer.sign(ofAcme);
      await expectRefused(token, ["the token can't be checked now", "ECONNREFUSED", "try again later"]);
      const owner = await ground.createKey("--org", "acme", "--role", "owner");
      expect(await stigmer(owner, ["get", "agents"])).toMatchObject({ exitCode: 0 });
      await issuer.comeBack();
      await until(async () => (await stigmer(token, ["get", "agents"])).exitCode === 0, 60);
      expect(server.part.ends).toEqual([]);
    } finally {
      await server.part.stop();
      server = before;
    }
  });
});
