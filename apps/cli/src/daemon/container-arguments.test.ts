import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveHome } from "@stigmer/config";
import { afterAll, expect, test } from "vitest";
import { containerArguments } from "./container-arguments.ts";

const home = mkdtempSync(join(tmpdir(), "stigmer-container-"));
afterAll(() => rmSync(home, { recursive: true }));
const homes = resolveHome({ STIGMER_HOME: home });
const env = {
  PATH: "/usr/bin",
  LOG_LEVEL: "DEBUG",
  ANTHROPIC_API_KEY: "hush",
  STIGMER_CHECKPOINT_URL: "postgres://u:hush@h/d",
  OPENAI_BASE_URL: "http://localhost:8000/v1",
  ANTHROPIC_BASE_URL: "https://models.example.com",
  SANDBOX_ROOT_DIR: "/work/shared",
};
const choice = { type: "docker", image: "runner:1", mounts: ["/home/me/a,b"] } as const;
const of = (platform: NodeJS.Platform): string[] =>
  containerArguments({ homes, choice, env, port: 4711, platform, user: { uid: 1000, gid: 100 } });

test("no secret is among them, nor what is not the runner's", () => {
  expect(of("linux").join(" ")).not.toMatch(/hush|usr\/bin/);
});

test("on Linux the machine's network is the container's; elsewhere the machine has a name there", () => {
  expect(of("linux")).toEqual(
    expect.arrayContaining([
      "--network=host",
      "--env=STIGMER_BACKEND_ENDPOINT=127.0.0.1:4711",
      "--env=OPENAI_BASE_URL=http://localhost:8000/v1",
    ]),
  );
  const mac = of("darwin");
  expect(mac).not.toContain("--network=host");
  expect(mac).toEqual(
    expect.arrayContaining([
      "--env=STIGMER_BACKEND_ENDPOINT=host.docker.internal:4711",
      "--env=OPENAI_BASE_URL=http://host.docker.internal:8000/v1",
      "--env=OLLAMA_BASE_URL=http://host.docker.internal:11434",
      "--env=ANTHROPIC_BASE_URL=https://models.example.com",
    ]),
  );
});

test("sessions are offered what can be made in there", () => {
  expect(of("linux")).toContain("--env=SANDBOX_TYPES=filesystem");
});

test("folders are where they are on the machine, and what the server alone opens is not there", () => {
  mkdirSync(homes.dataDir);
  writeFileSync(join(homes.dataDir, "encryption.key"), "");
  const mounts = of("linux").filter((argument) => argument.startsWith("--mount"));
  const bind = (source: string, target = source): string => `--mount=type=bind,source=${source},target=${target}`;
  expect(mounts).toEqual([
    bind(homes.dataDir),
    bind(homes.workspacesDir),
    '--mount=type=bind,"source=/home/me/a,b","target=/home/me/a,b"',
    bind("/work/shared"),
    bind("/dev/null", join(homes.dataDir, "encryption.key")),
  ]);
});

test("it has no rights that it does not need, and the user's number", () => {
  expect(of("linux")).toEqual(
    expect.arrayContaining([
      "--user=1000:100",
      "--read-only",
      "--cap-drop=ALL",
      "--security-opt=no-new-privileges",
      "--ulimit=core=0",
    ]),
  );
  expect(of("linux").at(-1)).toBe("runner:1");
});
