import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openGrpcurl, programOfGrpcurl } from "./clients/grpcurl.ts";
import { contract } from "./contract.ts";
import { describeEveryMethod } from "./every-method.ts";
import { openWorld, PKG, type World } from "./world.ts";

describe.each(["reflection", "descriptors"] as const)("grpcurl by %s", (by) => {
  describeEveryMethod((world) => openGrpcurl({ ...world, by }));
});

describe("a person with grpcurl", () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const ask = async (...args: string[]): Promise<string> => {
    const key = ["-reflect-header", `authorization: Bearer ${world.apiKey}`];
    return (await promisify(execFile)(programOfGrpcurl(), ["-plaintext", ...key, ...args])).stdout;
  };

  it("is told of every service and every method", async () => {
    const services = [...new Set([...contract.keys()].map((method) => method.split("/")[0] ?? ""))];
    const listed = (await ask(world.endpoint, "list")).trim().split("\n");
    expect(listed.toSorted()).toEqual(
      [...services, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"].toSorted(),
    );
    for (const service of services) {
      const methods = (await ask(world.endpoint, "list", service)).trim().split("\n");
      expect(methods.map((method) => method.replace(/\.(\w+)$/, "/$1")).toSorted()).toEqual(
        [...contract.keys()].filter((method) => method.startsWith(`${service}/`)).toSorted(),
      );
    }
  });

  it("is told what a message is made of", async () => {
    const described = await ask(world.endpoint, "describe", `${PKG}.agent.v1.AgentSpec`);
    expect(described).toContain("string instructions = 3");
    expect(described).toContain(`repeated .${PKG}.agent.v1.SubAgent sub_agents = 6`);
  });

  it("asks for the server's health without a key", async () => {
    const health = await ask(world.endpoint, "grpc.health.v1.Health/Check");
    expect(JSON.parse(health)).toEqual({ status: "SERVING" });
  });

  it("without a key is told so", async () => {
    await expect(ask(world.endpoint, `${PKG}.agent.v1.AgentQueryController/list`)).rejects.toMatchObject({
      stderr: expect.stringContaining("no API key: send the header `authorization: Bearer <key>`") as string,
    });
  });
});
