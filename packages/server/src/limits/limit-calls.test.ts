import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import { RetryInfoSchema } from "@stigmer/protos/google/rpc";
import { Health } from "@stigmer/protos/grpc/health/v1";
import { SkillCommandController } from "@stigmer/protos/skill/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { PrincipalRole } from "../interceptors/role.ts";
import { type RunningServer, startServer, type StartServerOptions } from "../start-server.ts";

let home: string;
let server: RunningServer | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-limits-"));
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(home, { recursive: true });
});

/** Tokens are `org/role`; `asked` gets each that the server looked up. */
async function start(limits: StartServerOptions["limits"], asked: string[] = []): Promise<string> {
  const authenticator = async (token: string) => {
    asked.push(token);
    const [org = "", role = ""] = token.split("/");
    return { id: token, org, role: role as PrincipalRole };
  };
  server = await startServer({ mode: "cloud", home, port: 0, authenticators: [authenticator], limits });
  return `http://${server.endpoint}`;
}

const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

it("refuses an organization's calls beyond its burst, in whichever role, and says when to come back", async () => {
  const asked: string[] = [];
  const transport = createGrpcTransport({ baseUrl: await start({ callsPerSecond: 1, callBurst: 3 }, asked) });
  const agents = createClient(AgentQueryController, transport);
  for (const role of ["owner", "member", "viewer"]) await agents.list({}, as(`acme/${role}`));
  // A slow machine takes so long for a call that there is room for another one.
  const further = Array.from({ length: 20 }, () => agents.list({}, as("acme/member")).catch(ConnectError.from));
  const error = ConnectError.from((await Promise.all(further)).find((answer) => answer instanceof ConnectError));
  expect(error.code).toBe(Code.ResourceExhausted);
  expect(error.rawMessage).toBe(
    "organization acme makes more than 1 calls a second: slow down, and try again in a moment",
  );
  expect(error.metadata.get("retry-after")).toBe("1");
  const [info] = error.findDetails(RetryInfoSchema);
  const delayMs = Number(info?.retryDelay?.seconds) * 1_000 + (info?.retryDelay?.nanos ?? 0) / 1e6;
  expect(delayMs).toBeGreaterThan(0);
  expect(delayMs).toBeLessThanOrEqual(1_000);

  // Others are not concerned, nor are runners, nor who asks for health.
  await agents.list({}, as("other/member"));
  const runners = Array.from({ length: 10 }, () => agents.list({}, as("/runner")).catch(ConnectError.from));
  const codes = (await Promise.all(runners)).map((answer) =>
    answer instanceof ConnectError ? answer.code : undefined,
  );
  expect(codes).not.toContain(Code.ResourceExhausted);
  for (let calls = 0; calls < 10; calls++) await createClient(Health, transport).check({}, as("acme/member"));
});

it("refuses a flood by its key alone, without a look at who that is or at what it sends", async () => {
  const asked: string[] = [];
  const baseUrl = await start({ callsPerSecond: 1 }, asked);
  const transport = createConnectTransport({ baseUrl, httpVersion: "1.1" });
  const skills = createClient(SkillCommandController, transport);
  const push = (): Promise<unknown> => skills.push({ artifact: new Uint8Array(200_000) }, as("acme/member"));
  const answers = await Promise.all(Array.from({ length: 50 }, () => push().catch(ConnectError.from)));
  const codes = answers.map((answer) => (answer instanceof ConnectError ? answer.code : "ok"));
  const refused = codes.filter((code) => code === Code.ResourceExhausted).length;
  // A slow machine may take longer than a second for them all.
  expect(refused).toBeGreaterThan(30);
  const askedBefore = asked.length;
  const before = performance.now();
  await Promise.all(Array.from({ length: 20 }, () => push().catch(() => {})));
  expect(asked.length - askedBefore).toBeLessThan(20);
  // Who does not wait is made to: 20 refusals that follow on each other are no work for the server.
  expect(performance.now() - before).toBeGreaterThan(900);
});

it("names limits that are none when it starts", async () => {
  const refusal = async (limits: StartServerOptions["limits"]): Promise<unknown> =>
    start(limits).catch((error: unknown) => error);
  expect(await refusal({ callsPerSecond: 0 })).toMatchObject({
    code: "bad-limit",
    message: "limits.callsPerSecond is 0: expected a whole number, at least 1",
  });
  expect(await refusal({ callsPerSecond: 10, callBurst: 9 })).toMatchObject({
    message: "limits.callBurst is 9: expected at least limits.callsPerSecond, which is 10",
  });
  expect(await refusal({ callBurst: 9 })).toMatchObject({ code: "bad-limit" });
  expect(await refusal({ maxRuns: 1.5 })).toMatchObject({ code: "bad-limit" });
  expect(await refusal({ maxWaitingRuns: Number.NaN })).toMatchObject({ code: "bad-limit" });
});
