import { mkdir, mkdtemp, realpath, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import {
  type AgentExecution,
  ExecutionPhase,
  MessageType,
  TextKind,
  ToolCallStatus,
  UnknownOutcomePolicy,
} from "@stigmer/protos/agentexecution/v1";
import { SandboxType } from "@stigmer/protos/session/v1";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Change, type LocalServer, type Play, startCli, startLocalServer } from "../__fixtures__/local-server.ts";

const agentYaml = (name: string, instructions = "Do what is asked of you."): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: ${name} }\nspec: { description: d, instructions: ${instructions} }\n`;
const instanceYaml = (name: string, agent: string): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: AgentInstance\nmetadata: { name: ${name} }\nspec: { agentId: ${agent} }\n`;
const skillYaml = `apiVersion: agentic.stigmer.ai/v1
kind: Skill
metadata: { name: my-skill }
spec:
  skillMd: |
    ---
    name: my-skill
    description: For tests.
    ---
    Body.
`;

const enter = (phase: ExecutionPhase, error = ""): Change => ({ change: { case: "run", value: { phase, error } } });
const say = (text: string): Change[] => [
  { change: { case: "messageStarted", value: { messageId: text, type: MessageType.MESSAGE_AI } } },
  { change: { case: "textAppended", value: { messageId: text, kind: TextKind.CONTENT, offset: 0, text } } },
];

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
});
afterAll(() => server[Symbol.asyncDispose]());

async function folder(files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(server.home, "manifests-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return path;
}

describe("apply, get, list and delete", () => {
  test("a folder, in order, with what is no manifest left out", async () => {
    const cwd = await folder({
      "a.yaml": `${instanceYaml("busy", "worker")}---\n${agentYaml("worker")}`,
      "b.yml": skillYaml,
      "scenario.yaml": "name: x\n",
      "package.json": "{}",
      "notes.md": "# not read",
    });
    await mkdir(join(cwd, "sub.yaml"));
    const { code, out, err } = await server.start(["apply", "-f", "."], { cwd }).done;
    expect({ code, err }).toEqual({
      code: 0,
      err: "package.json is left out: it has neither apiVersion nor kind\nscenario.yaml is left out: it has neither apiVersion nor kind\n",
    });
    expect(out.replaceAll(/-[0-9a-z]{26}/g, "")).toBe(
      "Skill my-skill created (skl)\nAgent worker created (agt)\nAgentInstance busy created (ain)\n",
    );
    const again = await server.start(["apply", "-f", "."], { cwd }).done;
    expect(again.out).toBe(out.replaceAll("created", "unchanged"));
  });

  test("sends nothing when one document of one file is wrong", async () => {
    const cwd = await folder({ "good.yaml": agentYaml("never-sent"), "bad.yaml": agentYaml("bad", "short") });
    const { code, out, err } = await server.start(["apply", "-f", "good.yaml", "-f", "bad.yaml"], { cwd }).done;
    expect({ code, out, err }).toEqual({
      code: 1,
      out: "",
      err: "bad.yaml:4:25: spec.instructions: must be at least 10 characters\n",
    });
    expect((await server.cli("get", "agent", "never-sent")).code).toBe(1);
  });

  test("sends nothing when a named agent is missing", async () => {
    const text = `${instanceYaml("i", "nobody")}---\n${agentYaml("not-sent-either")}`;
    const { code, err } = await server.start(["apply", "-f", "-"], { stdin: text }).done;
    expect({ code, err }).toEqual({ code: 1, err: '<stdin>:4:9: spec.agentId: there is no Agent "nobody"\n' });
    expect((await server.cli("get", "agent", "not-sent-either")).code).toBe(1);
  });

  test.each([
    ["nowhere.yaml", "nowhere.yaml: there is no such file or folder: name one that is there, or - for standard input"],
    ["manifests-none", "manifests-none has no .yaml, .yml or .json file (sub-folders are not searched)"],
  ])("of %s", async (path, expected) => {
    const cwd = await folder({});
    await mkdir(join(cwd, "manifests-none"));
    const { code, err } = await server.start(["apply", "-f", path], { cwd }).done;
    expect({ code, err }).toEqual({ code: 1, err: `${expected}\n` });
  });

  test("what get prints can be applied again", async () => {
    await server.start(["apply", "-f", "-"], { stdin: agentYaml("Round Trip") }).done;
    const yaml = await server.cli("get", "agent", "Round Trip", "-o", "yaml");
    expect(yaml.out).toContain("kind: Agent\n");
    const again = await server.start(["apply", "-f", "-"], { stdin: yaml.out }).done;
    expect(again).toMatchObject({ code: 0, err: "" });
    const json = JSON.parse((await server.cli("get", "agents", "round-trip", "-o", "json")).out) as {
      metadata: { id: string; slug: string };
    };
    expect(json.metadata.slug).toBe("round-trip");
    const byId = await server.cli("get", "Agent", json.metadata.id, "-o", "json");
    expect(JSON.parse(byId.out)).toMatchObject({ metadata: { slug: "round-trip" } });
  });

  test("a table has a line for each", async () => {
    await server.start(["apply", "-f", "-"], { stdin: agentYaml("in-table") }).done;
    const { out } = await server.cli("list", "agents");
    expect(out.split("\n")[0]).toMatch(/^NAME +ID +DESCRIPTION +AGE$/);
    expect(out).toMatch(/^in-table +agt-[0-9a-z]{26} +d +\d+s$/m);
    expect((await server.cli("list", "mcpservers")).err).toBe("There is no mcpserver yet.\n");
    expect((await server.cli("list", "mcpservers", "-o", "json")).out).toBe("[]\n");
  });

  test("delete, and then it is gone", async () => {
    await server.start(["apply", "-f", "-"], { stdin: agentYaml("short-lived") }).done;
    expect(await server.cli("delete", "agent", "short-lived")).toEqual({
      code: 0,
      out: "agent short-lived deleted\n",
      err: "",
    });
    expect(await server.cli("get", "agent", "short-lived")).toEqual({
      code: 1,
      out: "",
      err: 'There is no agent "short-lived": list them with `stigmer list agents`\n',
    });
  });

  test("a kind without names is found by id alone", async () => {
    expect((await server.cli("get", "session", "my-session")).err).toBe(
      '"my-session" is no session\'s id: list them with `stigmer list sessions`\n',
    );
  });
});

describe("run", () => {
  // What a run does is told by its message.
  const plays: Record<string, Play> = {
    async complete(report) {
      await report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), ...say("First."));
      const call = { id: "t1", name: "execute", args: { command: "ls" }, status: ToolCallStatus.TOOL_CALL_COMPLETED };
      await report({ change: { case: "toolCall", value: { messageId: "First.", call } } });
      await report(...say("The answer."), enter(ExecutionPhase.EXECUTION_COMPLETED));
    },
    async fail(report) {
      await report(enter(ExecutionPhase.EXECUTION_FAILED, "the model said no"));
    },
    async wait(report, _, { signal }) {
      await report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), ...say("I wait.\n"));
      await once(signal, "abort");
      await report(enter(ExecutionPhase.EXECUTION_CANCELLED));
    },
    async rest(report, execution, { pause }) {
      const id = execution.metadata?.id ?? "";
      if (rested.has(id)) return plays["complete"]?.(report, execution, {} as never);
      rested.add(id);
      await report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), ...say("I work.\n"));
      if (!pause.aborted) await once(pause, "abort");
      await report(enter(ExecutionPhase.EXECUTION_PAUSED));
      throw pause.reason;
    },
    async listen(report, _, { inbox }) {
      await report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), ...say("I listen.\n"));
      const heard = Promise.withResolvers<void>();
      const stop = inbox.subscribe(heard.resolve);
      if (inbox.items.length === 0) await heard.promise;
      stop();
      const { item } = inbox.items[0] ?? {};
      await report(...say(`I heard: ${item?.case === "message" ? item.value.text : "nothing"}\n`));
      await report(enter(ExecutionPhase.EXECUTION_COMPLETED));
    },
    async approve(report, _, { signal }) {
      await report(enter(ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL));
      if (!signal.aborted) await once(signal, "abort");
      await report(enter(ExecutionPhase.EXECUTION_CANCELLED));
    },
  };
  const rested = new Set<string>();
  const seen: AgentExecution[] = [];
  beforeAll(async () => {
    await server.start(["apply", "-f", "-"], { stdin: agentYaml("runner") }).done;
    await server.runner(async (report, execution, context) => {
      seen.push(execution);
      await plays[execution.spec?.message ?? ""]?.(report, execution, context);
    });
  });

  test("shows what happens and ends with how it ended", async () => {
    const { code, out, err } = await server.cli("run", "runner", "complete");
    expect({ code, out }).toEqual({ code: 0, out: "First.\nThe answer.\n" });
    expect(err).toMatch(/^ {2}✓ execute ls\ncompleted/);
  });

  test("--json ends with the result", async () => {
    const { code, out, err } = await server.cli("run", "runner", "complete", "--json");
    const lines = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect({ code, err, types: new Set(lines.map(({ type }) => type)) }).toEqual({
      code: 0,
      err: "",
      types: new Set(["created", "message", "text", "tool", "phase", "result"]),
    });
    expect(lines.at(-1)).toEqual({
      type: "result",
      executionId: lines[0]?.["executionId"],
      phase: "EXECUTION_COMPLETED",
      output: "The answer.",
      error: "",
    });
  });

  test("a failure is exit code 1, with the reason", async () => {
    const { code, err } = await server.cli("run", "runner", "fail");
    expect(code).toBe(1);
    expect(err).toContain("failed: the model said no");
  });

  test("a run that waits for approval is exit code 4 where nobody can be asked", async () => {
    const { code, err } = await server.cli("run", "runner", "approve");
    expect(code).toBe(4);
    expect(err).toContain("There is no terminal here to ask on");
  });

  test("Ctrl-C leaves the run to itself, and it can be watched and cancelled from elsewhere", async () => {
    const run = server.start(["run", "runner", "wait"]);
    await run.printed("I wait.");
    run.signal("SIGTERM");
    const { code, err } = await run.done;
    expect(code).toBe(130);
    const id = /stigmer run --attach (aex-\S+)/.exec(err)?.[1] ?? "";
    const watch = server.start(["execution", "watch", id]);
    await watch.printed("I wait.");
    expect(await server.cli("execution", "cancel", id)).toMatchObject({
      code: 0,
      out: expect.stringContaining(id) as string,
    });
    expect((await watch.done).code).toBe(3);
    expect((await server.cli("execution", "list")).out).toMatch(new RegExp(`^${id} +cancelled +ses-`, "m"));
  });

  test("Ctrl-C twice cancels it", async () => {
    const run = server.start(["run", "runner", "wait"]);
    await run.printed("I wait.");
    run.signal("SIGINT");
    await run.printed("Ctrl-C again");
    run.signal("SIGINT");
    const { code, out, err } = await run.done;
    expect({ code, out }).toEqual({ code: 3, out: "I wait.\n" });
    expect(err).toContain("Cancelling…\ncancelled");
  });

  test("a run is paused and goes on, and who watches it is told how", async () => {
    const run = server.start(["run", "runner", "rest"]);
    await run.printed("I work.");
    const [{ metadata } = {}] = (await server.client.executions.list()).items.filter(
      ({ spec }) => spec?.message === "rest",
    );
    const id = metadata?.id ?? "";
    expect(await server.cli("execution", "pause", id, "--reason", "lunch")).toEqual({
      code: 0,
      out: `execution ${id} pauses when it comes to rest\n`,
      err: `Let it go on: stigmer execution resume ${id}\n`,
    });
    await run.printed("Is paused.");
    await run.printed(`Let it go on: stigmer execution resume ${id}`);
    expect((await server.cli("execution", "list")).out).toMatch(new RegExp(`^${id} +paused`, "m"));
    expect(await server.cli("execution", "resume", id)).toEqual({
      code: 0,
      out: `execution ${id} goes on\n`,
      err: "",
    });
    const { code, out } = await run.done;
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^I work\.[^]*The answer\.\n$/) as string });
    const { code: refused, err } = await server.cli("execution", "pause", id);
    expect([refused, err.trimEnd().split("\n").length]).toEqual([1, 1]);
  });

  test("a run hears what is said to it, once under one name", async () => {
    const run = server.start(["run", "runner", "listen"]);
    await run.printed("I listen.");
    const found = (await server.client.executions.list()).items.find(({ spec }) => spec?.message === "listen");
    const id = found?.metadata?.id ?? "";
    const sent = await server.cli("execution", "message", id, "mind the gap", "--message-id", "m-1");
    expect(sent).toEqual({ code: 0, out: `execution ${id} hears it before its next step\n`, err: "" });
    expect((await run.done).out).toContain("I heard: mind the gap");
    expect(await server.cli("execution", "message", id, " ")).toMatchObject({ code: 2, out: "" });
  });

  test("works in the given directory, with the given variables and model", async () => {
    const cwd = await realpath(await folder({}));
    await mkdir(join(cwd, "project"));
    const args = [
      "run",
      "runner",
      "complete",
      "--workspace",
      "project",
      "--model",
      "m1",
      "--on-unknown-outcome",
      "pause",
    ];
    const { code } = await server.start([...args, "--env", "A=1=2", "--secret", "TOKEN"], {
      cwd,
      env: { TOKEN: "very-secret" },
    }).done;
    expect(code).toBe(0);
    const execution = seen.at(-1);
    const session = await server.client.sessions.get(execution?.spec?.sessionId ?? "");
    expect(session.spec?.workspaceDir).toBe(join(cwd, "project"));
    expect(execution?.spec?.executionConfig).toMatchObject({
      modelName: "m1",
      unknownOutcome: UnknownOutcomePolicy.PAUSE,
    });
    expect(execution?.spec?.runtimeEnv["A"]).toMatchObject({ value: "1=2", isSecret: false });
    expect(execution?.spec?.runtimeEnv["TOKEN"]).toMatchObject({ isSecret: true });
    // The same session again, and not with another agent.
    const id = session.metadata?.id ?? "";
    expect((await server.cli("run", "runner", "complete", "--session", id)).code).toBe(0);
    expect(seen.at(-1)?.spec?.sessionId).toBe(id);
    await server.start(["apply", "-f", "-"], { stdin: agentYaml("stranger") }).done;
    expect((await server.cli("run", "stranger", "complete", "--session", id)).err).toBe(
      `Session ${id} is one of another agent than stranger\n`,
    );
  });

  test("--sandbox is the new session's, and no other session's", async () => {
    for (const name of ["filesystem", "isolated", "docker", "daytona"] as const) {
      const { code, err } = await server.cli("run", "runner", "complete", "--sandbox", name);
      expect({ code, err }).toMatchObject({ code: 0 });
      const { spec } = await server.client.sessions.get(seen.at(-1)?.spec?.sessionId ?? "");
      expect(SandboxType[spec?.sandboxType ?? 0]).toBe(name.toUpperCase());
    }
    const id = seen.at(-1)?.spec?.sessionId ?? "";
    expect(
      (await server.cli("agent", "execute", "runner", "complete", "--session", id, "--sandbox", "daytona")).code,
    ).toBe(0);
    expect(seen.at(-1)?.spec?.sessionId).toBe(id);
    expect(await server.cli("run", "runner", "complete", "--session", id, "--sandbox", "isolated")).toMatchObject({
      code: 1,
      err: `Session ${id} was made with a sandbox of daytona, not isolated: leave --sandbox out to go on with it, or start another session\n`,
    });
    await server.cli("run", "runner", "complete");
    const other = seen.at(-1)?.spec?.sessionId ?? "";
    expect((await server.cli("run", "runner", "complete", "--session", other, "--sandbox", "docker")).err).toContain(
      "was made with a sandbox of its runner's kind, not docker",
    );
    expect(await server.cli("run", "runner", "complete", "--sandbox", "attic")).toMatchObject({
      code: 2,
      err: expect.stringContaining("filesystem, isolated, docker, daytona") as string,
    });
  });

  test("--detach prints the id alone", async () => {
    const { code, out, err } = await server.cli("run", "runner", "complete", "--detach");
    expect(code).toBe(0);
    expect(out).toMatch(/^aex-[0-9a-z]{26}\n$/);
    expect(err).toBe(`Watch it: stigmer execution watch ${out}`);
    expect((await server.cli("execution", "watch", out.trim())).code).toBe(0);
  });

  test.each([
    [
      ["run", "nobody", "hello"],
      'There is no agent "nobody": list them with `stigmer list agents`, add one with `stigmer apply -f FILE`',
    ],
    [["run", "runer", "hello"], 'There is no agent "runer": did you mean runner?'],
    [
      ["run", "runner", "x", "--workspace", "nowhere"],
      "--workspace nowhere: there is no such directory: make it first",
    ],
    [["run", "runner", "x", "--workspace", "local.key"], "--workspace local.key: it is not a directory"],
    [
      ["execution", "watch", "aex-01arz3ndektsv4rrffq69g5fav"],
      'There is no execution "aex-01arz3ndektsv4rrffq69g5fav": list them with `stigmer list executions`',
    ],
  ])("%j says in one line what is wrong", async (args, expected) => {
    expect(await server.cli(...args)).toEqual({ code: 1, out: "", err: `${expected}\n` });
  });
});

test("a server that is down is one clear line", async () => {
  const env = { STIGMER_HOME: server.home, STIGMER_BACKEND_ENDPOINT: "127.0.0.1:1" };
  expect(await startCli(["list", "agents"], { env }).done).toEqual({
    code: 1,
    out: "",
    err: "Cannot reach stigmer-server at 127.0.0.1:1: run `stigmer local start`, or name another server in STIGMER_BACKEND_ENDPOINT\n",
  });
});

test("a wrong key is one clear line", async () => {
  const { code, err } = await server.start(["list", "agents"], { env: { STIGMER_API_KEY: "wrong" } }).done;
  expect(code).toBe(1);
  expect(err).toBe(
    `stigmer-server at ${server.endpoint} refuses the key that was shown (the API key is not valid for this server): set STIGMER_API_KEY to a key of that server\n`,
  );
});
