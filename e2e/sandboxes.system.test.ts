import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { startLocal, until, type LocalPlatform } from "./stigmer.ts";

// A daemon whose agents work shut off from the machine: by bubblewrap, and in a container of the real Docker engine. What an
// agent leaves in its workspace is there with its session's next turn, also past a restart; of the machine it sees nothing.

const MANIFESTS = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: worker }
spec:
  instructions: Do what the person asks for.
  envSpec: { data: { DECLARED: { value: declared-value } } }
---
apiVersion: agentic.stigmer.ai/v1
kind: AgentInstance
metadata: { name: shut-in }
spec: { agentId: worker }
---
apiVersion: agentic.stigmer.ai/v1
kind: Session
metadata: { name: work }
spec: { agentInstanceId: shut-in }
`;

/** `private` is a file of the machine's that everyone may read. */
const scenario = (privateFile: string): string => `name: sandboxes
scenarios:
  - name: looks around, and leaves something
    match: { human: first turn }
    turns:
      - toolCalls:
          - name: execute
            args:
              command: >-
                pwd; cat ${privateFile} || echo not-there; env | grep -c -e STIGMER -e ANTHROPIC; echo $DECLARED;
                echo outside >/etc/outside || echo refused; cat /proc/net/route | wc -l; echo left >kept.txt
      - text: 'Saw: {{ result("execute") }}'
  - name: comes back
    match: { human: next turn }
    turns:
      - toolCalls: [{ name: read_file, args: { file_path: /workspace/kept.txt } }]
      - toolCalls: [{ name: execute, args: { command: "echo again >>kept.txt; wc -l <kept.txt" } }]
      - text: 'Found: {{ result("read_file") }} {{ result("execute") }}'
`;

interface World extends AsyncDisposable {
  readonly platform: LocalPlatform;
  readonly session: string;
  /** Runs a turn of the session, and answers all that was printed. */
  turn(message: string): Promise<string>;
}

async function openWorld(env: Readonly<Record<string, string>>): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-sandboxes-"));
  const home = join(folder, "home");
  await mkdir(home);
  await writeFile(join(home, "private.txt"), "private-of-the-machine");
  await writeFile(join(folder, "scenario.yaml"), scenario(join(home, "private.txt")));
  const starting = startLocal(join(folder, "scenario.yaml"), { env: { HOME: home, ...env } });
  const platform = await starting.catch(async (error: unknown) => {
    await rm(folder, { recursive: true });
    throw error;
  });
  const dispose = async (): Promise<void> => {
    await platform[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  };
  try {
    const applied = await platform.stigmer(["apply", "-f", "-"], { stdin: MANIFESTS });
    expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
    const session = /Session \S+ created \((\S+)\)/.exec(applied.stdout)?.[1] ?? "";
    return {
      platform,
      session,
      async turn(message) {
        const run = await platform.stigmer(["run", "worker", message, "--session", session]);
        expect(run.exitCode, run.stdout + run.stderr).toBe(0);
        return run.stdout + run.stderr;
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Two turns, the second past a restart of server and runner. */
async function workShutOff({ platform, session, turn }: World): Promise<void> {
  const first = await turn("first turn");
  expect(first).toContain("Saw: /workspace\nnot-there\n");
  expect(first).toMatch(/not-there\n0\ndeclared-value\nrefused\n[01]\n/);
  expect(first).not.toContain("private-of-the-machine");
  expect(await readdir(join(platform.home, "workspaces", session))).toEqual(["kept.txt"]);
  expect(await turn("next turn")).toMatch(/Found: [^]*left[^]*2/);

  expect(await platform.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
  const restarted = await platform.stigmer(["local", "start", "--port", "0"], { env: platform.modelEnv });
  expect(restarted, restarted.stderr).toMatchObject({ exitCode: 0 });
  expect(await turn("next turn")).toMatch(/Found: [^]*again[^]*3/);
}

async function deleteSession({ platform, session }: World): Promise<void> {
  const deleted = await platform.stigmer(["delete", "session", session]);
  expect(deleted, deleted.stderr).toMatchObject({ exitCode: 0 });
  await until(async () => !(await readdir(join(platform.home, "workspaces"))).includes(session), 60);
}

describe("stigmer local start", { timeout: 300_000 }, () => {
  it("with SANDBOX_TYPE=isolated shuts agents off from the machine", async () => {
    await using world = await openWorld({ SANDBOX_TYPE: "isolated" });
    await workShutOff(world);
    await deleteSession(world);
  });

  it("with SANDBOX_TYPE=docker gives each session a container, which goes with it", async () => {
    const settings = dockerSettings();
    const host = settings.DOCKER_HOST;
    await using world = await openWorld({ SANDBOX_TYPE: "docker", ...settings });
    await workShutOff(world);
    expect(await containersOf(host, world.platform.home)).toHaveLength(1);
    await deleteSession(world);
    await until(async () => (await containersOf(host, world.platform.home)).length === 0, 60);
  });

  it("gives each session the kind of sandbox that it was made with, and none that it would have to be given instead", async () => {
    await using world = await openWorld(dockerSettings());
    const { platform } = world;
    const host = dockerSettings().DOCKER_HOST;
    /** A new session of this kind, and all that was printed. */
    const begin = async (...sandbox: string[]): Promise<{ session: string; shown: string }> => {
      const run = await platform.stigmer(["run", "worker", "first turn", "--json", ...sandbox]);
      const shown = run.stdout + run.stderr;
      expect(run.exitCode, shown).toBe(0);
      const { sessionId } = JSON.parse(run.stdout.split("\n", 1)[0] ?? "") as { sessionId: string };
      return { session: sessionId, shown };
    };

    const open = await begin();
    expect(open.shown).toContain(`Saw: ${join(platform.home, "workspaces", open.session)}\\nprivate-of-the-machine`);
    const isolated = await begin("--sandbox", "isolated");
    expect(isolated.shown).toContain("Saw: /workspace\\nnot-there\\n0\\ndeclared-value\\nrefused");
    expect(isolated.shown).not.toContain("private-of-the-machine");
    expect(await containersOf(host, platform.home)).toEqual([]);
    const docker = await begin("--sandbox", "docker");
    expect(docker.shown).toContain("Saw: /workspace\\nnot-there\\n0\\ndeclared-value");
    expect(await containersOf(host, platform.home)).toHaveLength(1);
    const shown = await platform.stigmer(["describe", "session", docker.session]);
    expect(shown.stdout).toMatch(/Sandbox type: +docker\n *Sandbox: +docker:[0-9a-f]{64}\n/);

    await deleteSession({ ...world, session: docker.session });
    await until(async () => (await containersOf(host, platform.home)).length === 0, 60);

    // A runner that offers it no more lets no session work in another.
    expect(await platform.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
    const env = { ...platform.modelEnv, SANDBOX_TYPES: "filesystem" };
    const restarted = await platform.stigmer(["local", "start", "--port", "0"], { env });
    expect(restarted, restarted.stderr).toMatchObject({ exitCode: 0 });
    const refused = await platform.stigmer(["run", "worker", "next turn", "--session", isolated.session]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stdout + refused.stderr).toContain(
      `session ${isolated.session} was made for a sandbox of type isolated (spec.sandbox_type), and this runner offers filesystem: `,
    );
    await deleteSession({ ...world, session: isolated.session });
  });

  it("says what is missing when there is no engine", async () => {
    const failing = openWorld({ SANDBOX_TYPE: "docker", DOCKER_HOST: "unix:///not-there.sock" });
    await expect(failing).rejects.toThrow(/SANDBOX_TYPE=docker: .*not-there\.sock/);
  });
});

function dockerSettings(): { SANDBOX_DOCKER_IMAGE: string; SANDBOX_DOCKER_PULL: string; DOCKER_HOST: string } {
  const [host = "", image = ""] = (process.env["STIGMER_TEST_DOCKER"] ?? "").split(" ");
  expect(host, "STIGMER_TEST_DOCKER is not set: run `pnpm test:system`").not.toBe("");
  return { SANDBOX_DOCKER_IMAGE: image, SANDBOX_DOCKER_PULL: "never", DOCKER_HOST: host };
}

/** The containers that a home's runners have made. */
async function containersOf(host: string, home: string): Promise<unknown[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`ai.stigmer.home=${home}`] }));
  return new Promise((resolve, reject) => {
    const asked = request({
      socketPath: host.slice("unix://".length),
      path: `/containers/json?all=1&filters=${filters}`,
    });
    asked.once("error", reject);
    asked.once("response", (response) => {
      text(response).then((body) => resolve(JSON.parse(body) as unknown[]), reject);
    });
    asked.end();
  });
}
