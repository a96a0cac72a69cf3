import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";

const header = (kind: string, name: string): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: ${kind}\nmetadata: { name: ${name} }\n`;
const agent = (name: string, description = "d"): string =>
  `${header("Agent", name)}spec: { description: ${description}, instructions: Do what is asked of you. }\n`;
const instance = (name: string, of: string): string =>
  `${header("AgentInstance", name)}spec: { agentId: ${of}, environmentRefs: [{ kind: workflow_execution, slug: e }] }\n`;
const session = (name: string, of: string): string =>
  `${header("Session", name)}spec: { agentInstanceId: ${of}, subject: s }\n`;
const environment = (name: string, secret: string, region = "eu"): string =>
  `${header("Environment", name)}spec:\n  data:\n    TOKEN: { value: ${secret}, isSecret: true }\n    REGION: { value: ${region} }\n`;
const skill = (name: string, body = "Body."): string =>
  `${header("Skill", name)}spec:\n  skillMd: |\n    ---\n    name: ${name}\n    description: For tests.\n    ---\n    ${body}\n`;
const join3 = (...documents: string[]): string => documents.join("---\n");

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
});
afterAll(() => server[Symbol.asyncDispose]());

// Each test has names of its own.
let n = 0;
let x: string;
beforeEach(() => {
  x = `t${++n}`;
});

async function run(args: string[], stdin = ""): Promise<{ code: number; out: string; err: string }> {
  const { code, out, err } = await server.start(args, { stdin }).done;
  return { code, out: out.replaceAll(/-[0-9a-z]{26}/g, "-…"), err: err.replaceAll(/-[0-9a-z]{26}/g, "-…") };
}
const apply = (stdin: string, ...args: string[]) => run(["apply", "-f", "-", ...args], stdin);
const exists = async (kind: string, name: string): Promise<boolean> =>
  (await run(["get", kind, name, "-o", "name"])).code === 0;

describe("apply tells what it does", () => {
  test("of every kind: created, unchanged, configured", async () => {
    const all = (description: string, body: string, region: string): string =>
      join3(
        session(`${x}-s`, `${x}-i`),
        instance(`${x}-i`, x),
        agent(x, description),
        skill(x, body),
        environment(x, "hunter2-token", region),
      );
    const told = (change: string): string =>
      [`Environment ${x}`, `Skill ${x}`, `Agent ${x}`, `AgentInstance ${x}-i`, `Session ${x}-s`]
        .map((name) => `${name} ${change}\n`)
        .join("");
    const bare = (text: string): string => text.replaceAll(/ \(.*\)$/gm, "");

    const dry = await apply(all("d", "Body.", "eu"), "--dry-run");
    expect(dry).toEqual({ code: 0, out: told("created (dry run)"), err: "" });
    expect(await exists("agent", x)).toBe(false);

    expect(bare((await apply(all("d", "Body.", "eu"))).out)).toBe(told("created"));
    expect(bare((await apply(all("d", "Body.", "eu"), "--dry-run")).out)).toBe(told("unchanged"));
    expect(bare((await apply(all("d", "Body.", "eu"))).out)).toBe(told("unchanged"));

    const other = all("other", "More.", "us");
    const expected = told("configured").replace(/(AgentInstance|Session)(.*) configured/g, "$1$2 unchanged");
    expect(bare((await apply(other, "--dry-run")).out)).toBe(expected);
    expect(bare((await apply(other)).out)).toBe(expected);
  });

  test("a changed secret, which a dry run can't see and says so", async () => {
    await apply(environment(x, "hunter2-token"));
    const dry = await apply(environment(x, "hunter3-token"), "--dry-run");
    expect(dry.out).toBe(`Environment ${x} unchanged (dry run, but for the values of secrets, which nobody can see)\n`);
    expect((await apply(environment(x, "hunter3-token"))).out).toBe(`Environment ${x} configured (env-…)\n`);
  });

  test("by id, where the slug changes", async () => {
    const created = await server.start(["apply", "-f", "-"], { stdin: agent(x) }).done;
    const id = /agt-\w+/.exec(created.out)?.[0];
    const withId = agent(`${x} Renamed`).replace("metadata: {", `metadata: { id: ${id},`);
    expect((await apply(withId, "--dry-run")).out).toBe(`Agent ${x} configured (dry run)\n`);
    const renamed = withId.replace("metadata: {", `metadata: { slug: ${x}-renamed,`);
    expect((await apply(renamed, "--dry-run")).out).toBe(`Agent ${x}-renamed configured (dry run)\n`);
    expect((await apply(renamed)).out).toBe(`Agent ${x}-renamed configured (agt-…)\n`);
    expect(await exists("agent", x)).toBe(false);
  });
});

describe("apply sends nothing", () => {
  test("when a manifest is based on an outdated reading", async () => {
    await apply(agent(x));
    const read = (await server.cli("get", "agent", x, "-o", "yaml")).out;
    await apply(agent(x, "meanwhile"));
    for (const args of [["--dry-run"], []]) {
      const { code, err } = await apply(join3(agent(`${x}-other`), read), ...args);
      expect(code).toBe(1);
      expect(err).toContain(`metadata.version.id: Agent ${x} was changed since this was read`);
    }
    expect(await exists("agent", `${x}-other`)).toBe(false);
  });

  test("when a session would get another kind of sandbox", async () => {
    const inSandbox = (type: string): string =>
      session(x, `${x}-i`).replace("subject: s", `subject: s, sandboxType: SANDBOX_TYPE_${type}`);
    expect((await apply(join3(agent(x), instance(`${x}-i`, x), inSandbox("ISOLATED")))).code).toBe(0);
    for (const args of [["--dry-run"], []]) {
      expect((await apply(session(x, `${x}-i`), ...args)).out).toContain(`Session ${x} unchanged`);
      expect(await apply(join3(agent(`${x}-other`), inSandbox("DOCKER")), ...args)).toEqual({
        code: 1,
        out: "",
        err: expect.stringContaining(
          `: spec.sandboxType: Session ${x} was made with a sandbox of isolated, which can't become docker: create another session\n`,
        ) as string,
      });
    }
    expect(await exists("agent", `${x}-other`)).toBe(false);
  });

  test("when a secret is only the mask of one", async () => {
    const { code, err } = await apply(environment(x, '"********"'));
    expect({ code, err }).toEqual({
      code: 1,
      err: `<stdin>:4:1: spec: Environment ${x} has ******** where a secret belongs, and the server has none to keep: give its value\n`,
    });
    await apply(environment(x, "hunter2-token"));
    expect((await apply(environment(x, '"********"'))).out).toBe(`Environment ${x} unchanged (env-…)\n`);
  });
});

describe("sets", () => {
  test("prune deletes what the set had and no manifest describes, and nothing else", async () => {
    await apply(agent(`${x}-free`));
    await apply(agent(`${x}-other`), "--set", `${x}-other`);
    await apply(join3(agent(`${x}-a`), agent(`${x}-b`), instance(`${x}-bi`, `${x}-b`)), "--set", x);

    const fewer = agent(`${x}-a`);
    expect(await apply(fewer, "--set", x, "--prune", "--dry-run")).toEqual({
      code: 0,
      out: `Agent ${x}-a unchanged (dry run)\nAgentInstance ${x}-bi pruned (dry run)\nAgent ${x}-b pruned (dry run)\n`,
      err: "",
    });
    expect(await apply(fewer, "--set", x)).toMatchObject({ code: 0, out: `Agent ${x}-a unchanged (agt-…)\n` });
    expect(await apply(fewer, "--set", x, "--prune", "--yes")).toEqual({
      code: 0,
      out: `Agent ${x}-a unchanged (agt-…)\nAgentInstance ${x}-bi pruned (ain-…)\nAgent ${x}-b pruned (agt-…)\n`,
      err: "",
    });
    expect(await exists("agent", `${x}-b`)).toBe(false);
    for (const left of ["a", "free", "other"]) expect(await exists("agent", `${x}-${left}`)).toBe(true);
    const listed = await run(["list", "agents", "-l", `stigmer.ai/apply-set=${x}`, "-o", "name"]);
    expect(listed.out).toBe(`agent/${x}-a\n`);
  });

  test("what is applied without the set leaves it", async () => {
    await apply(join3(agent(`${x}-a`), agent(`${x}-b`)), "--set", x);
    expect((await apply(agent(`${x}-b`))).out).toContain("configured");
    expect((await apply(agent(`${x}-a`), "--set", x, "--prune", "--yes")).out).not.toContain("pruned");
    expect(await exists("agent", `${x}-b`)).toBe(true);
  });

  test("what others depend on is kept, and told", async () => {
    await apply(join3(agent(`${x}-a`), agent(`${x}-b`)), "--set", x);
    await apply(instance(`${x}-i`, `${x}-b`));
    const { code, err } = await apply(agent(`${x}-a`), "--set", x, "--prune", "--yes");
    expect(code).toBe(1);
    expect(err).toContain(`Agent ${x}-b is kept: `);
    expect(err).toContain("delete those first, or force it");
    expect(await exists("agent", `${x}-b`)).toBe(true);
  });

  test("nothing is taken from another set", async () => {
    await apply(agent(x), "--set", "theirs");
    expect(await apply(agent(x), "--set", "ours")).toEqual({
      code: 1,
      out: "",
      err: `<stdin>:1:1: Agent ${x} belongs to the set "theirs", not to "ours"\n`,
    });
  });

  test("where there is nobody to ask, pruning needs a yes, and nothing is sent", async () => {
    await apply(join3(agent(`${x}-a`), agent(`${x}-b`)), "--set", x);
    const { code, err } = await apply(join3(agent(`${x}-a`, "changed")), "--set", x, "--prune");
    expect({ code, err }).toEqual({
      code: 2,
      err: `--prune would delete Agent ${x}-b: say --yes to do so, or --dry-run to look at it first. Nothing was sent.\n`,
    });
    expect((await server.cli("get", "agent", `${x}-a`, "-o", "yaml")).out).not.toContain("changed");
  });

  test.each([
    [["--prune"], "--prune needs --set NAME: it deletes only what an earlier apply of that set made\n"],
    [["--set", "Not Good"], '--set "Not Good": a set is named by lower-case letters, digits and hyphens\n'],
  ])("%s is wrong usage", async (args, err) => {
    expect(await apply(agent(x), ...args)).toEqual({ code: 2, out: "", err });
  });
});

describe("diff", () => {
  test("says what apply would change, with the exit codes of diff", async () => {
    expect((await run(["diff", "-f", "-"], agent(x))).out).toBe(
      `--- /dev/null\n+++ <stdin>:1: Agent ${x}\n@@ -0,0 +1,8 @@\n+apiVersion: agentic.stigmer.ai/v1\n+kind: Agent\n` +
        `+metadata:\n+  name: ${x}\n+  slug: ${x}\n+spec:\n+  description: d\n+  instructions: Do what is asked of you.\n`,
    );
    await apply(agent(x));
    expect(await run(["diff", "-f", "-"], agent(x))).toEqual({ code: 0, out: "", err: "" });
    const { code, out } = await run(["diff", "-f", "-"], agent(x, "other"));
    expect(code).toBe(1);
    expect(out).toContain(`--- server: Agent ${x}\n+++ <stdin>:1: Agent ${x}\n`);
    expect(out.split("\n").filter((line) => /^[-+] /.test(line))).toEqual([
      "-  description: d",
      "+  description: other",
    ]);
  });

  test("never prints a secret, and says that it is not compared", async () => {
    await apply(environment(x, "hunter2-token"));
    const { code, out, err } = await run(["diff", "-f", "-"], environment(x, "hunter3-token", "us"));
    expect(code).toBe(1);
    expect(out + err).not.toContain("hunter");
    expect(out).toContain("+      value: us");
    expect(err).toBe(`The values of the secrets of Environment ${x} are not compared: nobody can see them.\n`);
    const created = await run(["diff", "-f", "-"], environment(`${x}-new`, "hunter3-token"));
    expect(created.out).toContain('value: "********"');
  });

  test("ends with 2 when it can't tell", async () => {
    expect((await run(["diff", "-f", "-"], "kind: Agnt\n")).code).toBe(2);
    const away = { env: { STIGMER_BACKEND_ENDPOINT: "127.0.0.1:1" }, stdin: agent(x) };
    const { code, err } = await server.start(["diff", "-f", "-"], away).done;
    expect(code).toBe(2);
    expect(err).toContain("Cannot reach stigmer-server at 127.0.0.1:1");
  });
});

describe("delete", () => {
  test("several, telling the one that is not there and going on", async () => {
    await apply(join3(agent(`${x}-a`), agent(`${x}-b`)));
    expect(await run(["delete", "agent", `${x}-a`, "nobody", `${x}-b`])).toEqual({
      code: 1,
      out: `agent ${x}-a deleted\nagent ${x}-b deleted\n`,
      err: 'There is no agent "nobody": list them with `stigmer list agents`\n',
    });
    expect(await run(["delete", "agent", `${x}-a`, "--ignore-not-found"])).toEqual({ code: 0, out: "", err: "" });
  });

  test("what manifests describe, what refers to others first", async () => {
    const text = join3(agent(x), instance(`${x}-i`, x), session(`${x}-s`, `${x}-i`));
    await apply(text);
    const deleted = await run(["delete", "-f", "-"], text);
    expect(deleted).toMatchObject({ code: 0, err: "" });
    expect(deleted.out).toBe(`session ses-… deleted\ninstance ${x}-i deleted\nagent ${x} deleted\n`);
    expect(await run(["delete", "-f", "-"], text)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`<stdin>:1: there is no Agent "${x}"\n`) as string,
    });
    expect(await run(["delete", "-f", "-", "--ignore-not-found"], text)).toEqual({ code: 0, out: "", err: "" });
  });

  test("what others depend on only when it is forced", async () => {
    await apply(join3(agent(x), instance(`${x}-i`, x)));
    expect(await run(["delete", "agent", x])).toMatchObject({ code: 1, out: "" });
    expect(await run(["delete", "agent", x, "--force"])).toMatchObject({ code: 0, out: `agent ${x} deleted\n` });
    expect(await exists("instance", `${x}-i`)).toBe(false);
  });

  test("of nothing is wrong usage", async () => {
    for (const args of [[], ["agent"], ["agent", "-f", "-"]]) expect((await run(["delete", ...args])).code).toBe(2);
  });
});

describe("get", () => {
  test("chooses by labels", async () => {
    const labelled = (name: string, tier: string): string =>
      agent(`${x}-${name}`).replace("metadata: {", `metadata: { labels: { team: ${x}, tier: ${tier} },`);
    await apply(join3(labelled("a", "one"), labelled("b", "two"), agent(`${x}-c`)));
    expect((await run(["get", "agents", "-l", `team=${x}`, "-o", "name"])).out.split("\n").toSorted()).toEqual([
      "",
      `agent/${x}-a`,
      `agent/${x}-b`,
    ]);
    expect((await run(["list", "agents", "-l", `team=${x},tier=two`, "-o", "name"])).out).toBe(`agent/${x}-b\n`);
    expect((await run(["list", "agents", "-l", "team=nobody"])).err).toBe("There is no agent with team=nobody.\n");
    expect((await run(["list", "agents", "-l", "team!=x"])).code).toBe(2);
    expect((await run(["get", "agent", `${x}-a`, "-l", "a=b"])).code).toBe(2);
  });
});

test("validate needs no server, and tells every place", async () => {
  const cwd = await mkdtemp(join(server.home, "validate-"));
  await writeFile(join(cwd, "good.yaml"), join3(agent("one"), agent("two")));
  await writeFile(join(cwd, "bad.yaml"), agent("bad").replace("Do what is asked of you.", "short"));
  await writeFile(join(cwd, "other.json"), "{}");
  const offline = { cwd, env: { STIGMER_BACKEND_ENDPOINT: "127.0.0.1:1", STIGMER_HOME: "/nowhere" } };
  expect(await server.start(["validate", "-f", "."], offline).done).toEqual({
    code: 1,
    out: "good.yaml:1: Agent one is valid\ngood.yaml:6: Agent two is valid\n",
    err: "other.json is left out: it has neither apiVersion nor kind\nbad.yaml:4:25: spec.instructions: must be at least 10 characters\n",
  });
  const json = await server.start(["validate", "-f", ".", "-o", "json"], offline).done;
  expect(JSON.parse(json.out)).toMatchObject({
    valid: [{ kind: "Agent", name: "one", file: "good.yaml", line: 1 }, { name: "two" }],
    ignored: ["other.json"],
    problems: [{ file: "bad.yaml", line: 4, column: 25, path: "spec.instructions" }],
  });
  await rm(join(cwd, "bad.yaml"));
  expect((await server.start(["validate", "-f", "."], offline).done).code).toBe(0);
});
