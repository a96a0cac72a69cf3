import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

interface PageRequest {
  readonly pageSize?: number;
  readonly pageToken?: string;
}

let now: number;
let server: TestServer;
let agentId: string;
let sessionId: string;
beforeEach(async () => {
  now = 1_700_000_000_000;
  server = await openTestServer({ clock: () => (now += 1) });
  const metadata = { tags: ["t", "u"], labels: { a: "1", b: "2" } };
  for (const name of ["a", "b"]) {
    const agent = await server.agents.create(given.agent(name, {}, metadata));
    agentId = agent.metadata?.id ?? "";
    const instanceId = agent.status?.defaultInstanceId ?? "";
    for (const part of ["1", "2"])
      await server.sessions.create(given.session(`${name}-${part}`, instanceId, {}, metadata));
    const run = await server.executions.create(given.execution({ agentId }, metadata));
    sessionId = run.spec?.sessionId ?? "";
    await server.executions.create(given.execution({ sessionId }, metadata));
  }
});
afterEach(() => server.dispose());

/** Each way to ask for a list that a token belongs to. */
const lists: [string, (page: PageRequest) => Promise<{ nextPageToken: string }>][] = [
  ["agents", (page) => server.agents.list(page)],
  ["agents with a tag", (page) => server.agents.list({ ...page, tags: ["t"] })],
  ["agents with a label", (page) => server.agents.list({ ...page, labels: { a: "1" } })],
  ["agents of an organisation", (page) => server.agents.list({ ...page, org: "local" })],
  ["instances", (page) => server.instances.list(page)],
  ["sessions", (page) => server.sessions.list(page)],
  ["sessions with a tag", (page) => server.sessions.list({ ...page, tags: ["t"] })],
  ["sessions with a label", (page) => server.sessions.list({ ...page, labels: { a: "1" } })],
  ["sessions of an agent", (page) => server.sessions.listByAgent({ ...page, agentId })],
  ["runs", (page) => server.executions.list(page)],
  ["runs in a phase", (page) => server.executions.list({ ...page, phase: 1 })],
  ["runs of an agent", (page) => server.executions.list({ ...page, agentId })],
  ["runs with a label", (page) => server.executions.list({ ...page, labels: { a: "1" } })],
  ["runs of a session", (page) => server.executions.listBySession({ ...page, sessionId })],
];

it("is good for the list and the filters that it came from, and no others", async () => {
  const tokens: string[] = [];
  for (const [, list] of lists) tokens.push((await list({ pageSize: 1 })).nextPageToken);
  expect(new Set(tokens).size).toBe(lists.length);
  for (const [index, [name, list]] of lists.entries()) {
    for (const [from, pageToken] of tokens.entries()) {
      const answer = await list({ pageSize: 1, pageToken }).then(
        () => "taken",
        (error: unknown) => (error instanceof ConnectError && error.code === Code.InvalidArgument ? "refused" : error),
      );
      expect(`${name} with a token of ${lists[from]?.[0]}: ${String(answer)}`).toBe(
        `${name} with a token of ${lists[from]?.[0]}: ${from === index ? "taken" : "refused"}`,
      );
    }
  }
});

it("does not mind the order in which filters are given, nor another page size", async () => {
  const first = await server.agents.list({ pageSize: 1, tags: ["t", "u"], labels: { a: "1", b: "2" } });
  const pageToken = first.nextPageToken;
  const next = await server.agents.list({ pageSize: 9, pageToken, tags: ["u", "t"], labels: { b: "2", a: "1" } });
  expect(next.items.map(({ metadata }) => metadata?.name)).toEqual(["a"]);
});

it.each(lists)(
  "of %s that was not given out, or was changed, is refused with the field as a detail",
  async (_name, list) => {
    const { nextPageToken } = await list({ pageSize: 1 });
    const position = Buffer.from(JSON.stringify([now, "x"])).toString("base64url");
    for (const pageToken of [
      "rubbish",
      "x".repeat(40),
      position,
      `${nextPageToken}A`,
      nextPageToken.slice(1),
      nextPageToken.slice(0, 8),
    ]) {
      const error = await list({ pageToken }).then(
        () => undefined,
        (caught: unknown) => (caught instanceof ConnectError ? caught : undefined),
      );
      expect(error?.code).toBe(Code.InvalidArgument);
      const [detail] = error?.findDetails(ViolationsSchema) ?? [];
      expect(detail?.violations[0]?.field?.elements.map(({ fieldName }) => fieldName)).toEqual(["page_token"]);
    }
    await expect(list({ pageSize: -1 })).rejects.toMatchObject({ code: Code.InvalidArgument });
  },
);
