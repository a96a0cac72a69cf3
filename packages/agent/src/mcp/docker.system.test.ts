// With the real engine, and a server that is a shell script in a container.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { call } from "./__fixtures__/call.ts";
import { testConnections } from "./__fixtures__/servers.ts";
import type { McpDockerServerConfig } from "./mcp-config.ts";
import type { McpConnections } from "./mcp-connections.ts";

const [host = "", image = ""] = (process.env["STIGMER_TEST_DOCKER"] ?? "").split(" ");
if (image === "") throw new Error("STIGMER_TEST_DOCKER is not set. Run these suites with: pnpm test:system");

const fixtures = fileURLToPath(new URL("__fixtures__", import.meta.url));
const dockerEnv = { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", DOCKER_HOST: host };
const running = (): string[] =>
  execFileSync("docker", ["ps", "-aq", "--filter", "label=ai.stigmer.mcp"], { env: dockerEnv, encoding: "utf8" })
    .split("\n")
    .filter((id) => id !== "");

let directory: string;
let connections: McpConnections;

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "mcp-docker-")));
  connections = testConnections({ dockerEnv, connectTimeoutMs: 60_000 });
});

afterEach(async () => {
  await connections.close();
  await rm(directory, { recursive: true });
});

function server(rest: Partial<McpDockerServerConfig> = {}): McpDockerServerConfig {
  const volumes = [{ hostPath: fixtures, containerPath: "/srv", readOnly: true }];
  const args = ["/bin/sh", "/srv/shell-server.sh"];
  return { type: "docker", name: "box", field: "spec.mcp_servers[0]", image, args, volumes, network: "none", ...rest };
}

it("a container is a server, with its variables, which are in nobody's arguments", { timeout: 120_000 }, async () => {
  const env = { TOKEN: "hunter22 with 'quotes'\nand lines", PATH: "/bin:/usr/bin:/own" };
  const toolset = await connections.open({ sessionId: "s", directory, servers: [server({ env })] });
  expect(await call(toolset, "box__ping")).toBe("pong");
  expect(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })).not.toContain("hunter22");
  const [id = ""] = running();
  const seen = execFileSync("docker", ["inspect", id], { env: dockerEnv, encoding: "utf8" });
  const [{ Config }] = JSON.parse(seen) as [{ Config: { Env: string[] } }];
  expect(Config.Env).toEqual(expect.arrayContaining([`TOKEN=${env.TOKEN}`, `PATH=${env.PATH}`]));
  await connections.closeSession("s");
  expect(running()).toEqual([]);
});

it(
  "a container that does not end by itself is removed, also when this process is killed",
  { timeout: 180_000 },
  async () => {
    const deaf = server({ args: ["/bin/sh", "/srv/shell-server.sh", "deaf"] });
    await connections.open({ sessionId: "s", directory, servers: [deaf] });
    expect(running()).toHaveLength(1);
    await connections.closeSession("s");
    expect(running()).toEqual([]);

    const script = join(fixtures, "hold-container.ts");
    const args = ["--conditions=@stigmer/source", script, directory, JSON.stringify({ deaf, dockerEnv })];
    const other = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(other.stdout, "data");
      expect(running()).toHaveLength(1);
    } finally {
      other.kill("SIGKILL");
    }
    await expect.poll(running, { timeout: 60_000, interval: 200 }).toEqual([]);
  },
);

it("says what is wrong with it", { timeout: 120_000 }, async () => {
  const open = (rest: Partial<McpDockerServerConfig>): Promise<unknown> =>
    connections.open({ sessionId: "s", directory, servers: [server(rest)] });
  await expect(open({ image: "localhost:1/no/such:image" })).rejects.toThrow(
    /^spec\.mcp_servers\[0\]\.docker\.image: the MCP server box can't be used: the container can't be started: /,
  );
  await expect(open({ args: ["/bin/sh", "-c", "echo no licence >&2; exit 4"] })).rejects.toThrow(
    /\.docker\.image: .* it ended with exit code 4: no licence\.$/,
  );
  await expect(open({ env: { DOCKER_HOST: "x" } })).rejects.toThrow(
    /\.docker\.env_placeholders: .* the variable DOCKER_HOST, which is for the docker program itself\.$/,
  );
  expect(running()).toEqual([]);
});
