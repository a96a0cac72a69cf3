import { create } from "@bufbuild/protobuf";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  createRouterTransport,
  type Interceptor,
} from "@connectrpc/connect";
import { createId } from "@stigmer/protos";
import { AgentCommandController, AgentQueryController, AgentSchema } from "@stigmer/protos/agent/v1";
import { ApiResourceMetadataSchema } from "@stigmer/protos/apiresource";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { authenticated, bindPrincipal, type Principal } from "../interceptors/principal.ts";
import { reportErrors } from "../interceptors/report-errors.ts";
import { silentLogger } from "../logger.ts";
import { API_SERVICES } from "../services/api-services.ts";
import { createTestStore, type TestStore } from "../services/__fixtures__/test-store.ts";
import { StoreError } from "../store/errors.ts";
import type { ResourceRecord } from "../store/resource-store.ts";
import type { Store, StoreTransaction } from "../store/store.ts";
import { createAudit } from "./create-audit.ts";
import { isChange } from "./describe-call.ts";

const ANNA: Principal = { id: "anna", org: "acme", role: "owner" };
const id = createId("Agent");

let place: TestStore;
let store: Store;
let caller: Principal;
/** What a handler does, on the store that it is given. */
let work: (store: Store) => Promise<void>;
/** Whether the log takes no entries. */
let logIsBroken: boolean;
/** How often the database is away before it takes the next entry. */
let timesAway: number;
let logged: { level: string; fields: object; message: string }[];
let agents: Client<typeof AgentCommandController> & Client<typeof AgentQueryController>;
let executions: Client<typeof AgentExecutionCommandController>;

beforeEach(async () => {
  place = await createTestStore();
  store = await place.open();
  caller = ANNA;
  work = async () => {};
  logIsBroken = false;
  timesAway = 0;
  logged = [];
  const note =
    (level: string) =>
    (fields: object, message: string): void =>
      void logged.push({ level, fields, message });
  const logger = { ...silentLogger, info: note("info"), error: note("error") };
  const breakable = <T extends StoreTransaction>(tx: T): T => ({
    ...tx,
    audit: {
      ...tx.audit,
      append: async (record: Parameters<typeof tx.audit.append>[0]) => {
        if (timesAway-- > 0) throw new StoreError("unavailable", "the database can't be reached");
        if (logIsBroken) throw new StoreError("disk-full", "the disk is full");
        await tx.audit.append(record);
      },
    },
  });
  const audit = createAudit({
    store: { ...breakable(store), transaction: (doing) => store.transaction((tx) => doing(breakable(tx))) },
    logger,
    clock: () => 1_000,
    patience: { retries: 3, minTimeout: 1 },
  });
  const identify: Interceptor = (next) => async (request) => {
    authenticated(request.contextValues, caller);
    if (caller.holds) bindPrincipal(request.contextValues, caller);
    return next(request);
  };
  const agent = create(AgentSchema, { metadata: create(ApiResourceMetadataSchema, { id, name: "a" }) });
  const answer = async (): Promise<typeof agent> => {
    await work(audit.store);
    return agent;
  };
  const transport = createRouterTransport(
    (router) => {
      router.service(AgentCommandController, { create: answer, update: answer, delete: answer });
      router.service(AgentQueryController, { get: answer });
      router.service(AgentExecutionCommandController, {
        updateStatus: async () => {
          await work(audit.store);
          return {};
        },
      });
    },
    { router: { interceptors: [identify, audit.interceptor, reportErrors(silentLogger)] } },
  );
  agents = Object.assign(
    createClient(AgentCommandController, transport),
    createClient(AgentQueryController, transport),
  );
  executions = createClient(AgentExecutionCommandController, transport);
});
afterEach(async () => {
  await store.close();
  await place.dispose();
});

const entries = async (): Promise<string[]> =>
  (await store.audit.list({}, { limit: 99 })).map(
    ({ principalId, role, method, resourceKind, resourceId, code }) =>
      `${principalId} (${role}) ${method.split(".").at(-1)} ${resourceKind} ${resourceId === id ? "it" : resourceId || "-"} ${code}`,
  );

const record: ResourceRecord = {
  kind: "Agent",
  id,
  org: "acme",
  ownerScope: 2,
  slug: "a",
  name: "a",
  parentId: "",
  labels: {},
  tags: [],
  version: "1",
  createdAt: 1,
  updatedAt: 1,
  body: new Uint8Array(),
};
const insert = (on: Store): Promise<void> => on.transaction((tx) => tx.resources.insert(record));

it("stores an entry with the change, and one line of the log", async () => {
  let inTransaction: string[] = [];
  work = async (on) => {
    await insert(on);
    inTransaction = await entries();
  };
  await agents.create({});
  expect(inTransaction).toEqual(["anna (owner) AgentCommandController/create Agent it OK"]);
  expect(await entries()).toEqual(inTransaction);
  expect(logged).toEqual([
    {
      level: "info",
      message: "audit",
      fields: expect.objectContaining({ principalId: "anna", org: "acme", resourceId: id, code: "OK" }) as object,
    },
  ]);
});

it("changes nothing that it can't tell of", async () => {
  logIsBroken = true;
  work = insert;
  await expect(agents.create({})).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: "the disk is full" });
  expect(await store.resources.get("Agent", id)).toBeUndefined();
});

it("stores the entry of a change that is no transaction right after it, and says when that can't be", async () => {
  await agents.update({ metadata: { id } });
  expect(await entries()).toEqual(["anna (owner) AgentCommandController/update Agent it OK"]);
  logIsBroken = true;
  await expect(agents.update({ metadata: { id } })).rejects.toMatchObject({
    code: Code.Internal,
    rawMessage: expect.stringContaining("was done, but could not be recorded in the audit log") as string,
  });
  expect(await entries()).toHaveLength(1);
  expect(logged.at(-1)).toMatchObject({ level: "error", fields: { resourceId: id } });
});

it("waits for a database that went away after the change, for a while", async () => {
  timesAway = 3;
  await agents.update({ metadata: { id } });
  expect(await entries()).toEqual(["anna (owner) AgentCommandController/update Agent it OK"]);
  timesAway = 4;
  await expect(agents.update({ metadata: { id } })).rejects.toMatchObject({ code: Code.Internal });
  expect(timesAway).toBe(0);
  expect(await entries()).toHaveLength(1);
});

it("tells of a call that failed, and leaves it its answer when that can't be told", async () => {
  work = async () => {
    throw new ConnectError("no", Code.FailedPrecondition);
  };
  await expect(agents.delete({ value: id })).rejects.toMatchObject({ code: Code.FailedPrecondition });
  expect(await entries()).toEqual(["anna (owner) AgentCommandController/delete Agent it FAILED_PRECONDITION"]);
  logIsBroken = true;
  await expect(agents.delete({ value: id })).rejects.toMatchObject({ code: Code.FailedPrecondition, rawMessage: "no" });
  expect(await entries()).toHaveLength(1);
  expect(logged.at(-1)).toMatchObject({ level: "error", fields: { code: "FAILED_PRECONDITION" } });
});

it("tells both of a change and of the failure that came after it", async () => {
  work = async (on) => {
    await insert(on);
    throw new ConnectError("too late", Code.DeadlineExceeded);
  };
  await expect(agents.create({})).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  expect((await entries()).toSorted()).toEqual([
    "anna (owner) AgentCommandController/create Agent - DEADLINE_EXCEEDED",
    "anna (owner) AgentCommandController/create Agent it OK",
  ]);
});

it("tells of nothing that a transaction took back", async () => {
  work = async (on) => {
    const broken = on.transaction(async (tx) => {
      await tx.resources.insert(record);
      throw new ConnectError("no", Code.Aborted);
    });
    await broken;
  };
  await expect(agents.create({})).rejects.toMatchObject({ code: Code.Aborted });
  expect(await entries()).toEqual(["anna (owner) AgentCommandController/create Agent - ABORTED"]);
});

it("takes ids of the resource's kind alone: what else is written there is nobody's business", async () => {
  work = async () => {
    throw new ConnectError("no", Code.NotFound);
  };
  for (const value of ["stk_secret", createId("Session"), `${id} and more`]) {
    await expect(agents.delete({ value })).rejects.toMatchObject({ code: Code.NotFound });
  }
  expect(new Set(await entries())).toEqual(new Set(["anna (owner) AgentCommandController/delete Agent - NOT_FOUND"]));
});

it("does not count what the server does for itself after the answer", async () => {
  let later: (() => Promise<void>) | undefined;
  const gone = Promise.withResolvers<void>();
  work = async (on) => {
    // It carries the context of the call, as a timer that the call started does.
    later = async () => {
      await gone.promise;
      await insert(on);
    };
    void (later = (
      (running) => () =>
        running
    )(later()));
  };
  await agents.update({ metadata: { id } });
  gone.resolve();
  await later?.();
  expect(await store.resources.get("Agent", id)).toBeDefined();
  expect(await entries()).toHaveLength(1);
});

it("has no entries of readers and of runners, in local mode neither", async () => {
  await agents.get({ value: id });
  caller = {
    id: "r1",
    org: "acme",
    role: "runner",
    holds: { executionId: "aex-1", fence: 1, org: "acme", sessionId: "s" },
  };
  await executions.updateStatus({});
  await agents.update({ metadata: { id } });
  caller = { ...caller, id: "local", role: "owner" };
  await agents.update({ metadata: { id } });
  expect(await entries()).toEqual([]);
});

it("counts as a change every method of a command service but those by which runners report", () => {
  const names = (changes: boolean): string[] =>
    API_SERVICES.flatMap((service) =>
      service.methods
        .filter((method) => isChange(service, method) === changes)
        .map((method) => `${service.name}/${method.name}`),
    );
  expect(names(true).filter((name) => !name.includes("CommandController/"))).toEqual([]);
  expect(names(false).filter((name) => name.includes("CommandController/"))).toEqual([
    "AgentExecutionCommandController/updateStatus",
    "AgentExecutionCommandController/patchStatus",
  ]);
});
