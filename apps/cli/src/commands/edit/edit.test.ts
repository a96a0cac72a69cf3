import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { zipSync } from "fflate";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";

let server: LocalServer;
let folder: string;
beforeAll(async () => {
  server = await startLocalServer();
  folder = await mkdtemp(join(server.home, "editors-"));
});
afterAll(() => server[Symbol.asyncDispose]());

let n = 0;
let x: string;
beforeEach(async () => {
  x = `t${++n}`;
  await server.client.agents.create({ name: x, description: "old words", instructions: "Do what is asked of you." });
});

/** An editor that runs these lines of shell, one on each call, with the file as `$1`. */
async function editor(...calls: string[]): Promise<{ EDITOR: string; PATH: string; TMPDIR: string }> {
  const script = join(folder, `${x}.sh`);
  const cases = calls.map((call, index) => `${index + 1}) ${call} ;;`).join("\n");
  await writeFile(
    script,
    `count=$(($(cat "$0.count" 2>/dev/null || echo 0) + 1)); echo $count > "$0.count"; cp "$1" "$0.seen.$count"\ncase $count in\n${cases}\n*) exit 99 ;; esac\n`,
  );
  return { EDITOR: `sh ${script}`, PATH: process.env["PATH"] ?? "", TMPDIR: tmpdir() };
}
const change = (from: string, to: string): string => `sed -i.bak 's/${from}/${to}/' "$1"`;
const seen = (call: number): Promise<string> => readFile(join(folder, `${x}.sh.seen.${call}`), "utf8");
const calls = async (): Promise<number> => Number(await readFile(join(folder, `${x}.sh.count`), "utf8"));

async function edit(args: string[], ...edits: string[]) {
  return server.start(["edit", ...args], { env: await editor(...edits) }).done;
}
const descriptionOf = async (slug: string): Promise<string | undefined> =>
  (await server.client.agents.getByReference(slug)).spec?.description;

test("sends what was changed, with the schema for the editor and no status", async () => {
  expect(await edit(["agent", x], change("old words", "new words"))).toEqual({
    code: 0,
    out: `agent ${x} edited\n`,
    err: "",
  });
  expect(await descriptionOf(x)).toBe("new words");
  const text = await seen(1);
  expect(text).toMatch(/^# yaml-language-server: \$schema=\S+agent\.json$/m);
  expect(text).not.toContain("status:");
});

test.each([
  ["saved as it is", "true"],
  ["emptied", ': > "$1"'],
  ["changed in looks alone", 'echo "# a comment" >> "$1"'],
])("sends nothing when it is %s", async (_, call) => {
  const { metadata } = await server.client.agents.getByReference(x);
  expect(await edit(["agent", x], call)).toEqual({
    code: 0,
    out: `agent ${x} is left as it is: nothing was changed\n`,
    err: "",
  });
  expect((await server.client.agents.getByReference(x)).metadata?.version?.id).toBe(metadata?.version?.id);
});

test("opens again with what is wrong, at the line where it is", async () => {
  const result = await edit(
    ["agent", x],
    change("Do what is asked of you.", "short"),
    change("instructions: short", "instructions: Do all of it."),
  );
  expect(result).toEqual({ code: 0, out: `agent ${x} edited\n`, err: "" });
  const [first, complaint = "", ...rest] = (await seen(2)).split("\n");
  expect(first).toBe("# Nothing was sent yet:");
  const [, line] = /^# {3}line (\d+): spec\.instructions: must be at least 10 characters$/.exec(complaint) ?? [];
  expect([first, complaint, ...rest][Number(line) - 1]).toBe("  instructions: short");
  expect((await server.client.agents.getByReference(x)).spec?.instructions).toBe("Do all of it.");
});

test("opens again with what the server refuses", async () => {
  const instance = await server.client.agentInstances.create({
    name: `${x}-i`,
    agentId: (await server.client.agents.getByReference(x)).metadata?.id ?? "",
  });
  const agentId = instance.spec?.agentId ?? "";
  const result = await edit(["instance", `${x}-i`], change(agentId, "agt-01m7yp6m06v3nf22f78h88f1ad"), "true");
  expect(result.code).toBe(1);
  expect(result.err).toContain("agt-01m7yp6m06v3nf22f78h88f1ad");
  expect(await seen(2)).toMatch(/^# Nothing was sent yet:\n# {3}.*agt-01m7yp6m06v3nf22f78h88f1ad/);
});

test("gives up when a mistake is saved again, and keeps the text for its owner alone", async () => {
  const { code, err } = await edit(["agent", x], change("Do what is asked of you.", "short"), "true");
  expect(code).toBe(1);
  expect(err).toContain("spec.instructions: must be at least 10 characters\nNothing was saved. Your text is kept in ");
  expect(await calls()).toBe(2);
  const path = /kept in (\S+)/.exec(err)?.[1] ?? "";
  expect(await readFile(path, "utf8")).toContain("instructions: short");
  expect((await stat(path)).mode & 0o077).toBe(0);
  expect((await stat(dirname(path))).mode & 0o077).toBe(0);
  expect((await server.client.agents.getByReference(x)).spec?.instructions).toBe("Do what is asked of you.");
});

test("never overwrites what somebody else changed meanwhile", async () => {
  const { metadata } = await server.client.agents.getByReference(x);
  const theirs = `apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: ${x} }\nspec: { description: theirs, instructions: Do what is asked of you. }\n`;
  const running = server.start(["edit", "agent", x], {
    env: await editor(`touch "$0.open"; while [ -e "$0.open" ]; do sleep 0.05; done; ${change("old words", "mine")}`),
  });
  const open = join(folder, `${x}.sh.open`);
  await expect.poll(() => readdir(folder), { timeout: 20_000 }).toContain(`${x}.sh.open`);
  await server.start(["apply", "-f", "-"], { stdin: theirs }).done;
  await rm(open);
  const { code, err } = await running.done;
  expect(code).toBe(1);
  expect(err).toContain(`${metadata?.id} is at ver-`);
  expect(err).toContain("Your text is kept in ");
  expect(await descriptionOf(x)).toBe("theirs");
});

test.each([
  ["another kind", change("kind: Agent", "kind: Environment"), /kind: can't be changed from Agent|unknown field/],
  [
    "another id",
    'sed -i.bak "s/  id: agt-.*/  id: agt-01m7yp6m06v3nf22f78h88f1ad/" "$1"',
    "metadata.id: can't be changed",
  ],
  ["a second resource", 'printf -- "---\\nkind: Agent\\n" >> "$1"', "only one resource is edited"],
  ["bad YAML", 'echo "a: [" >> "$1"', /^# {3}line \d+: /m],
])("refuses %s", async (_, call, said) => {
  expect((await edit(["agent", x], call, "true")).code).toBe(1);
  expect(await seen(2)).toMatch(said);
});

test("an editor that fails changes nothing", async () => {
  const { code, err } = await edit(["agent", x], "exit 3");
  expect(code).toBe(1);
  expect(err).toContain("ended with exit code 3: set VISUAL or EDITOR");
  expect(await descriptionOf(x)).toBe("old words");
});

test("a secret stays masked, and stays what it is", async () => {
  const data = { TOKEN: { value: "hunter2-token", isSecret: true }, REGION: { value: "eu" } };
  await server.client.environments.create({ name: `${x}-e`, data });
  expect((await edit(["env", `${x}-e`], change("value: eu", "value: us"))).code).toBe(0);
  expect(await seen(1)).not.toContain("hunter2");
  const edited = await server.client.environments.getByReference(`${x}-e`);
  expect(edited.spec?.data["REGION"]?.value).toBe("us");
  // What is applied is equal, secret and all, so that no version is made of it.
  const same = await server.client.environments.apply({ name: `${x}-e`, data: { ...data, REGION: { value: "us" } } });
  expect(same.metadata?.version?.id).toBe(edited.metadata?.version?.id);
});

test("a skill of one file; one with more belongs into its folder", async () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const md = `---\nname: ${x}\ndescription: d\n---\nOld body.\n`;
  await server.client.skills.push({ name: x, artifact: zipSync({ "SKILL.md": bytes(md) }) });
  expect((await edit(["skill", x], change("Old body", "New body"))).out).toBe(`skill ${x} edited\n`);
  expect((await server.client.skills.getByReference(x)).spec?.skillMd).toContain("New body.");

  await server.client.skills.push({ name: x, artifact: zipSync({ "SKILL.md": bytes(md), "a.sh": bytes("x") }) });
  const { code, err } = await edit(["skill", x], "true");
  expect({ code, err }).toEqual({
    code: 1,
    err: `skill ${x} has 2 files, and only SKILL.md could be edited here: change its folder and \`stigmer skill push\` it\n`,
  });
});

test("a run can't be edited", async () => {
  expect(await edit(["execution", "aex-01m7yp6m06v3nf22f78h88f1ad"])).toMatchObject({ code: 2 });
});
