import { loadConfig } from "@stigmer/config";
import { expect, it } from "vitest";
import { sandboxesOf, type SandboxOffer, type Sandboxes } from "./sandboxes.ts";

const local = (env: Record<string, string> = {}): Sandboxes => sandboxesOf(loadConfig({ MODE: "local", ...env }))[0];

const cloud = (env: Record<string, string> = {}): Sandboxes => offered(env)[0];

const offered = (env: Record<string, string>): SandboxOffer =>
  sandboxesOf(
    loadConfig({
      MODE: "cloud",
      STIGMER_BACKEND_ENDPOINT: "api.example.com:443",
      STIGMER_API_KEY: "stk_key",
      TEMPORAL_SERVICE_ADDRESS: "temporal.example.com:7233",
      TEMPORAL_NAMESPACE: "agents",
      REDIS_HOST: "redis.example.com",
      STIGMER_CHECKPOINT_URL: "postgres://db.example.com/checkpoints",
      DAYTONA_API_KEY: "dtn_key",
      ...env,
    }),
  );

it("are those that the configuration names", () => {
  const keeping = { SANDBOX_IDLE_MINUTES: "2", SANDBOX_TTL_MINUTES: "60" };
  expect(local(keeping)).toMatchObject({ type: "filesystem", takesDirectories: true, holdsById: false });
  expect(local({ SANDBOX_TYPE: "isolated" })).toMatchObject({ type: "isolated", idleMs: 1_800_000 });
  expect(local({ SANDBOX_TYPE: "docker", ...keeping })).toMatchObject({
    type: "docker",
    takesDirectories: true,
    holdsById: true,
    idleMs: 120_000,
    ttlMs: 3_600_000,
  });
  expect(cloud({ SANDBOX_TYPE: "docker" })).toMatchObject({ type: "docker", takesDirectories: false });
});

it("leave it to Daytona to remove its own, where another runner may be at work", () => {
  const daytona = cloud({ SANDBOX_TTL_MINUTES: "60" });
  expect(daytona).toMatchObject({ type: "daytona", takesDirectories: false, holdsById: true });
  expect(daytona).not.toHaveProperty("ttlMs");
});

it("differ by kind in what becomes of them", () => {
  const offer = offered({ SANDBOX_TYPES: "docker", SANDBOX_TTL_MINUTES: "60" });
  expect(offer.map(({ type, ttlMs }) => [type, ttlMs])).toEqual([
    ["daytona", undefined],
    ["docker", 3_600_000],
  ]);
});

it("look for what they need before each is opened, until it is there", async () => {
  const [own, docker] = offered({ SANDBOX_TYPES: "docker", DOCKER_HOST: "unix:///not-there.sock" });
  expect(own.type).toBe("daytona");
  const place = { sessionId: "ses-1", rootDir: "/tmp/not-made" };
  await expect(docker?.open(place)).rejects.toMatchObject({ code: "backend-unavailable" });
  await expect(docker?.check()).rejects.toMatchObject({ code: "backend-unavailable" });
});

it("say before the first run that none can be had", async () => {
  await expect(local().check()).resolves.toBeUndefined();
  const docker = local({ SANDBOX_TYPE: "docker", DOCKER_HOST: "unix:///not-there.sock" });
  await expect(docker.check()).rejects.toMatchObject({ code: "backend-unavailable" });
  const daytona = cloud({ DAYTONA_API_URL: "http://127.0.0.1:9/api" });
  await expect(daytona.check()).rejects.toMatchObject({
    code: "backend-unavailable",
    message: expect.not.stringContaining("dtn_key"),
  });
});
