import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { startScriptedModel } from "@stigmer/scripted-model";
import { expect } from "vitest";
import { makeHome, repository } from "../stigmer.ts";
import type { BuiltImages } from "./built-images.ts";
import type { Engine } from "./engine.ts";
import { openPassages } from "./passages.ts";

const CONTAINER = "stigmer-agent-runner";

/** What the agent does: the second turn finds what the first one left, in its files and in its words. */
const scenario = {
  name: "container",
  scenarios: [
    {
      name: "leaves something",
      match: { human: "Leave something" },
      turns: [
        { toolCalls: [{ name: "execute", args: { command: "echo kept > kept.txt; id -u; touch /opt/x; env; ls /" } }] },
        { text: "Left." },
      ],
    },
    {
      name: "finds it",
      // Only where the conversation has the first turn too.
      match: { human: "Find it" },
      turns: [
        { toolCalls: [{ name: "execute", args: { command: "cat kept.txt" } }] },
        { text: 'Found {{ result("execute", "(kept)") }}.' },
      ],
    },
  ],
};

const MANIFESTS = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: keeper }
spec: { instructions: Do what you are asked. }
---
apiVersion: agentic.stigmer.ai/v1
kind: AgentInstance
metadata: { name: kept }
spec: { agentId: keeper }
---
apiVersion: agentic.stigmer.ai/v1
kind: Session
metadata: { name: work }
spec: { agentInstanceId: kept }
`;

/** The whole life of a runner in a container, by the real command line. */
export async function runInContainer(engine: Engine, images: BuiltImages): Promise<void> {
  const secret = `model-key-${crypto.randomUUID()}`;
  await using model = await startScriptedModel({ scenario });
  const { host, port } = new URL(model.url);
  await using _ = await openPassages(engine, { inward: { [port]: host } });
  // The daemon is where the engine's containers look for it: in its network, which is this machine's for anybody else.
  const stigmer = [process.execPath, "--conditions=@stigmer/source", join(repository, "apps/cli/src/main.ts")] as const;
  await using home = await makeHome({ program: engine.inNetwork(stigmer), env: { DOCKER_HOST: engine.host } });
  const env = { ANTHROPIC_API_KEY: secret, ANTHROPIC_BASE_URL: model.url };
  const start = async (): Promise<void> => {
    const started = await home.stigmer(["local", "start", "--port", "0", "--runner", "docker"], { env });
    expect(started, started.stdout + started.stderr).toMatchObject({ exitCode: 0 });
  };
  const stop = async (): Promise<void> => {
    expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
    expect(await engine.docker(["ps", "--all", "--quiet", `--filter=name=${CONTAINER}`])).toBe("");
  };

  await start();
  const inspected = await engine.docker(["inspect", CONTAINER]);
  const [container] = JSON.parse(inspected) as [
    { Config: { Image: string }; HostConfig: object; State: { Pid: number } },
  ];
  expect(container.Config.Image).toBe(images.runner);
  expect(container.HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ["ALL"], NetworkMode: "host" });
  const localKey = (await readFile(join(home.home, "local.key"), "utf8").catch(() => "")).trim();
  expect(localKey).not.toBe("");
  for (const hidden of [secret, localKey]) {
    expect(inspected).not.toContain(hidden);
    expect(await commandLines()).not.toContain(hidden);
    expect(await readFile(`/proc/${container.State.Pid}/environ`, "utf8")).not.toContain(hidden);
  }

  const applied = await home.stigmer(["apply", "-f", "-"], { stdin: MANIFESTS });
  expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
  const session = /Session \S+ created \((\S+)\)/.exec(applied.stdout)?.[1] ?? "";
  const turn = async (message: string): Promise<string> => {
    const run = await home.stigmer(["run", "keeper", message, "--session", session]);
    expect(run, run.stdout + run.stderr).toMatchObject({ exitCode: 0 });
    return run.stdout;
  };
  expect(await turn("Leave something")).toContain("Left.");

  await stop();
  await start();
  expect(await turn("Find it")).toContain("Found kept.");
  // The conversation is there, not just the files: the model is shown what was said before the restart.
  expect(JSON.stringify(model.requests.at(-1)?.body)).toContain("Leave something");
  await stop();
}

async function commandLines(): Promise<string> {
  const lines = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const texts = lines.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""));
  return (await Promise.all(texts)).join("\n");
}
