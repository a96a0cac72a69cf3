import { execa } from "execa";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { makeHome, repository } from "../stigmer.ts";
import { type BuiltImages, buildImages } from "./built-images.ts";
import { deploy, type Deployment, SERVER_PORT, TLS_PORT } from "./deployment.ts";
import { findEngine } from "./engine.ts";
import { runInContainer } from "./local-runner.ts";

// The images as their Dockerfiles build them, and run as deploy/compose.yaml and `local start --runner docker` run them. The
// engine reaches no registry: bases are made of this machine's programs.

vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

/** What an image may add to its base, in bytes: each is a tenth above what it was when this was written. */
const BUDGET = { server: 168e6, runner: 214e6 };

const engine = findEngine();
const { version } = JSON.parse(await readFile(join(repository, "apps/cli/package.json"), "utf8")) as {
  version: string;
};
let images: BuiltImages;
beforeAll(async () => {
  images = await buildImages(engine, version);
});

const inImage = (image: string, script: string): Promise<string> =>
  engine.docker(["run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", script]);

describe.each(["server", "runner"] as const)("the %s's image", (name) => {
  it("adds no more to its base than it has to", async () => {
    const size = async (image: string): Promise<number> =>
      Number(await engine.docker(["image", "inspect", "--format={{.Size}}", image]));
    expect((await size(images[name])) - (await size(images.base))).toBeLessThan(BUDGET[name]);
    const left = "find /opt/stigmer -name '*.d.ts'; ls -d /build /pnpm 2>/dev/null; command -v pnpm; true";
    expect(await inImage(images[name], left)).toBe("");
  });

  it("runs as nobody's user, says what it is, and is told to end by SIGTERM", async () => {
    const [{ Config: config }] = JSON.parse(await engine.docker(["image", "inspect", images[name]])) as [
      { Config: { User: string; Labels: Record<string, string>; StopSignal: string; Healthcheck: { Test: string[] } } },
    ];
    expect(config).toMatchObject({ User: "10001:10001", StopSignal: "SIGTERM" });
    expect(config.Healthcheck.Test).toEqual(["CMD", "node", "/opt/stigmer/health.ts"]);
    expect(config.Labels["org.opencontainers.image.version"]).toBe(version);
  });

  it("has nothing of what people keep in a checkout: not in its files, nor in what is told of it", async () => {
    const told = [
      ["history", "--no-trunc"],
      ["image", "inspect"],
    ].map((command) => engine.docker([...command, images[name]]));
    expect((await Promise.all(told)).join()).not.toContain(images.canary);
    for (const [image, folder] of [
      [images[name], "/opt /var /tmp /root"],
      [images.buildStage, "/build /deploy"],
    ] as const) {
      const script = `find ${folder} -type f | wc -l; find ${folder} -type f -exec grep -lF ${images.canary} {} +; true`;
      const [count, ...found] = (await inImage(image, script)).split("\n");
      expect(Number(count)).toBeGreaterThan(1_000);
      expect(found).toEqual([]);
    }
  });
});

describe("a deployment as compose.yaml describes it", () => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy(engine, {
      name: "images",
      scenarios: [
        {
          name: "works in its sandbox",
          match: { human: "Leave a mark" },
          turns: [
            { toolCalls: [{ name: "execute", args: { command: "echo marked > mark; cat mark; pwd" } }] },
            { text: 'Saw {{ result("execute", "(marked)") }}.' },
          ],
        },
      ],
    });
  });
  afterAll(() => deployment?.[Symbol.asyncDispose]());

  it("comes up by the steps of its README, and runs an agent from end to end", async () => {
    const server = await deployment.start("server");
    const keyOf = async (role: "runner" | "owner"): Promise<string> => {
      // A runner's opens no organisation of its own.
      const of = role === "owner" ? ["--org", "acme"] : [];
      const printed = await deployment.runOnce(["server", "create-key", ...of, "--role", role, "--name", role]);
      return /^stk_\S+$/m.exec(printed)?.[0] ?? printed;
    };
    const runner = await deployment.start("runner", { env: { STIGMER_API_KEY: await keyOf("runner") } });

    await using home = await makeHome({
      env: {
        STIGMER_BACKEND_ENDPOINT: `localhost:${deployment.passages.port(SERVER_PORT)}`,
        STIGMER_API_KEY: await keyOf("owner"),
      },
    });
    const manifest =
      "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: marker }\nspec: { instructions: Do what you are asked. }\n";
    const applied = await home.stigmer(["apply", "-f", "-"], { stdin: manifest });
    expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
    const run = await home.stigmer(["run", "marker", "Leave a mark"]);
    expect(run, run.stderr).toMatchObject({ exitCode: 0 });
    expect(run.stdout).toContain("Saw marked.");

    for (const container of [server, runner]) {
      await expectHardened(container);
      const logs = await engine.docker(["logs", container]);
      expect(deployment.secrets.filter((secret) => logs.includes(secret))).toEqual([]);
    }
    // In order: what it had to do is done, and nobody had to kill it.
    for (const [container, code] of [
      [runner, 0],
      [server, 0],
    ] as const) {
      await engine.docker(["stop", container]);
      expect(await engine.docker(["inspect", "--format={{.State.ExitCode}} {{.State.OOMKilled}}", container])).toBe(
        `${code} false`,
      );
    }
  });

  it("serves TLS with a certificate of its own, and its health check knows", async () => {
    const folder = await mkdtemp(join(tmpdir(), "stigmer-certificate-"));
    try {
      const files = ["-keyout", join(folder, "tls.key"), "-out", join(folder, "tls.crt")];
      const names = ["-subj", "/CN=stigmer", "-addext", "subjectAltName=DNS:localhost"];
      await execa("openssl", [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        ...files,
        ...names,
      ]);
      // As a Secret is mounted for the group of the pod.
      await execa("chown", ["-R", "0:10001", folder]);
      await execa("chmod", ["-R", "u=rX,g=rX,o=", folder]);
      const tls = {
        STIGMER_TLS_CERT_FILE: "/etc/stigmer/tls/tls.crt",
        STIGMER_TLS_KEY_FILE: "/etc/stigmer/tls/tls.key",
      };
      await deployment.start("server", {
        container: "stigmer-test-tls",
        env: { ...tls, STIGMER_PORT: String(TLS_PORT) },
        args: [`--volume=${folder}:/etc/stigmer/tls:ro`],
      });
      const key = await deployment.runOnce([
        "server",
        "create-key",
        "--org",
        "acme",
        "--role",
        "viewer",
        "--name",
        "tls",
      ]);
      const endpoint = `https://localhost:${deployment.passages.port(TLS_PORT)}`;
      const env = { STIGMER_BACKEND_ENDPOINT: endpoint, STIGMER_API_KEY: /^stk_\S+$/m.exec(key)?.[0] ?? key };
      await using home = await makeHome({ env });
      expect(await home.stigmer(["list", "agents"])).toMatchObject({ exitCode: expect.toBeOneOf([1, 3]) });
      const trusted = await home.stigmer(["list", "agents"], { env: { STIGMER_TLS_CA_FILE: join(folder, "tls.crt") } });
      expect(trusted, trusted.stderr).toMatchObject({ exitCode: 0 });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

it("a runner of `local start --runner docker` works in its container, and leaves none", () =>
  runInContainer(engine, images));

async function expectHardened(container: string): Promise<void> {
  const script =
    "id -u; grep -h ^CapEff: /proc/1/status; grep NoNewPrivs /proc/1/status; grep -h '^Max core' /proc/1/limits; touch /opt/stigmer/x /etc/x 2>&1; touch /tmp/x && echo written";
  const seen = await engine.docker(["exec", container, "sh", "-c", script]);
  expect(seen).toMatch(/^10001\nCapEff:\s+0+\nNoNewPrivs:\s+1\nMax core file size\s+0\s+0\b/);
  expect(seen.match(/Read-only file system/g)).toHaveLength(2);
  expect(seen).toMatch(/written$/);
}
