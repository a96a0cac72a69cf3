import { randomUUID } from "node:crypto";
import { createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { refusalOfStore } from "../../interceptors/store-refusals.ts";
import { silentLogger, type Logger } from "../../logger.ts";
import { execution } from "../__fixtures__/conformance/executions.ts";
import { resource } from "../__fixtures__/conformance/resources.ts";
import { StoreError } from "../errors.ts";
import { createOutage } from "./__fixtures__/outage.ts";
import { createSchema, type HeldTransaction, type Schema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";

let schema: Schema;
beforeEach(async () => {
  schema = await createSchema();
});
afterEach(() => schema.drop());

const open = (url: string, logger: Logger = silentLogger) => openPostgresStore({ url, logger });

describe("opening a Postgres store", () => {
  const password = "not-to-be-told";

  function changed(change: (url: URL) => void): string {
    const url = new URL(schema.url);
    change(url);
    return url.href;
  }

  async function refusal(url: string): Promise<{ code: unknown; message: string }> {
    const { code, message } = (await open(url).then(
      async (store) => {
        await store.close();
        throw new Error("It opened.");
      },
      (error: unknown) => error,
    )) as Error & { code: unknown };
    expect(message).not.toContain(password);
    expect(message).not.toContain(new URL(schema.url).password);
    expect(message.split("\n")).toHaveLength(1);
    return { code, message };
  }

  it("says that nobody is there", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    other.close();
    await once(other, "close");
    const url = `postgres://me:${password}@localhost:${port}/things`;
    const { code, message } = await refusal(url);
    expect(code).toBe("database-unreachable");
    expect(message).toMatch(
      new RegExp(
        `^Postgres can't be reached at localhost:${port}/things \\(.*ECONNREFUSED.*\\): start it, or correct STIGMER_DATABASE_URL\\.$`,
      ),
    );
  });

  it("says that the host is unknown", async () => {
    const { message } = await refusal(`postgres://me:${password}@nowhere.invalid/things`);
    expect(message).toMatch(/^Postgres can't be reached at nowhere\.invalid:5432\/things \(.*nowhere\.invalid\)/);
  });

  it("says that the password is wrong, and does not tell it", async () => {
    const { host, username } = new URL(schema.url);
    const wrong = changed((url) => (url.password = password));
    const { code, message } = await refusal(wrong);
    expect([code, message]).toEqual([
      "database-unreachable",
      `Postgres at ${host}/postgres refuses the user "${username}" (password authentication failed for user "${username}"): ` +
        "correct STIGMER_DATABASE_URL, its user and password.",
    ]);
    const missing = await refusal(changed((url) => (url.password = "")));
    expect(missing.message).toMatch(/refuses the user .*password/);
  });

  it("says that there is no such database", async () => {
    const { message } = await refusal(changed((url) => (url.pathname = "/no-such-thing")));
    expect(message).toMatch(/has no database "no-such-thing": create it \(createdb no-such-thing\)/);
  });

  it("says that the address is none, without telling it", async () => {
    for (const url of [`postgres://me:${password}@:x/`, `mysql://me:${password}@host/db`, password]) {
      expect((await refusal(url)).message).toMatch(
        /^The database's address is no postgres:\/\/user:password@host:port/,
      );
    }
  });

  it("says that its user may not make tables, and works with those that are there", async () => {
    const role = `test_role_${Math.random().toString(36).slice(2)}`;
    const [{ schema: name } = { schema: "" }] = await schema.query("SELECT current_schema() AS schema");
    await schema.query(
      `CREATE ROLE ${role} LOGIN PASSWORD '${password}'; GRANT USAGE ON SCHEMA ${String(name)} TO ${role}`,
    );
    try {
      const theirs = changed((url) => Object.assign(url, { username: role, password }));
      const { message } = await refusal(theirs);
      expect(message).toMatch(new RegExp(`^The user "${role}" may not make tables .*GRANT CREATE ON SCHEMA`));
      await (await open(schema.url)).close();
      await schema.query(`GRANT ALL ON ALL TABLES IN SCHEMA ${String(name)} TO ${role};
        GRANT ALL ON ALL SEQUENCES IN SCHEMA ${String(name)} TO ${role}`);
      const store = await open(theirs);
      await store.resources.insert(resource({ id: "agt-1" }));
      await store.close();
    } finally {
      await schema.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  it("refuses a database of a newer program and leaves it alone", async () => {
    await (await open(schema.url)).close();
    await schema.query("INSERT INTO migrations VALUES (999, now())");
    const { code, message } = await refusal(schema.url);
    expect(code).toBe("database-newer");
    expect(message).toMatch(
      /has schema version 999, this program knows up to \d+: use the newer stigmer.*STIGMER_DATABASE_URL\.$/,
    );
  });
});

describe("a Postgres that goes away", () => {
  it("breaks calls off with a clean error, and is used again when it is back", async () => {
    const outage = await createOutage(schema.url);
    const logged: string[] = [];
    const store = await open(outage.url, { ...silentLogger, warn: (_, message) => void logged.push(message) });
    let held: HeldTransaction | undefined;
    try {
      await store.resources.insert(resource({ id: "agt-1" }));
      held = await schema.hold("SELECT 1 FROM resources FOR UPDATE");
      const blocked = store.resources.replace(resource({ id: "agt-1", version: "ver-2" }), "ver-1");
      let inside = 0;
      const [asleep, amidst] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const amid = store.transaction(async (tx) => {
        inside += 1;
        await tx.resources.insert(resource({ id: "agt-2" }));
        amidst.resolve();
        await asleep.promise;
        await tx.resources.get("Agent", "agt-2");
      });
      const ended = Promise.allSettled([blocked, amid]);
      await schema.waiting(1, blocked);
      await amidst.promise;

      await outage.begin();
      asleep.resolve();
      const [first, second] = await ended;
      for (const outcome of [first, second]) {
        expect(outcome).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
        const { reason } = outcome as PromiseRejectedResult;
        expect(StoreError.is(reason) && refusalOfStore(reason).code).toBe(Code.Unavailable);
      }
      // A lost connection is no reason to do it twice: nobody knows what became of it.
      expect(inside).toBe(1);
      const meanwhile = [
        store.resources.get("Agent", "agt-1"),
        store.executions.insert(execution({ id: "aex-1" })),
        store.queue.counts(),
        store.artifacts.get("a".repeat(64)),
        store.transaction((tx) => tx.resources.get("Agent", "agt-1")),
      ];
      await Promise.all(meanwhile.map((call) => expect(call).rejects.toMatchObject({ code: "unavailable" })));

      await outage.end();
      expect(await store.resources.get("Agent", "agt-1")).toMatchObject({
        version: expect.stringMatching(/^ver-[12]$/) as string,
      });
      expect(await store.resources.get("Agent", "agt-2")).toBeUndefined();
      await store.transaction((tx) => tx.resources.insert(resource({ id: "agt-3" })));
    } finally {
      await held?.rollback();
      await store.close();
      await outage.close();
    }
  });

  it("outlives the sudden end of all its connections, idle ones and those in a transaction", async () => {
    const url = new URL(schema.url);
    // Other suites use the same Postgres.
    const name = `test ${randomUUID()}`;
    url.searchParams.set("application_name", name);
    const logged: string[] = [];
    const store = await open(url.href, { ...silentLogger, warn: (_, message) => void logged.push(message) });
    try {
      await Promise.all(Array.from({ length: 5 }, () => store.queue.counts()));
      const amid = store.transaction(async (tx) => {
        await tx.resources.insert(resource({ id: "agt-1" }));
        const ended = await schema.query(
          `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1`,
          [name],
        );
        expect(ended.length).toBeGreaterThan(1);
        // Nothing is asked while the connection breaks.
        while (logged.length === 0) await sleep(5);
      });
      await expect(amid).rejects.toMatchObject({ code: "unavailable" });
      for (const _ of Array.from({ length: 10 })) expect(await store.queue.counts()).toMatchObject({ waiting: 0 });
      expect(await store.resources.get("Agent", "agt-1")).toBeUndefined();
      expect(logged[0]).toMatch(/connection to the database was lost/);
    } finally {
      await store.close();
    }
  });
});

describe("what Postgres refuses", () => {
  it("gives a transaction that others break off another chance, a number of times", async () => {
    const store = await open(schema.url);
    await store.resources.insert(resource({ id: "agt-1" }));
    let attempts = 0;
    let isolation: unknown;
    const never = store.transaction(async (tx) => {
      attempts += 1;
      const current = await tx.resources.get("Agent", "agt-1");
      // Outside, and stored at once: the transaction's own write always comes too late.
      await schema.query("UPDATE resources SET name = name || '.'");
      isolation = current?.name;
      await tx.resources.replace(resource({ id: "agt-1", version: "ver-2" }), "ver-1");
    });
    await expect(never).rejects.toMatchObject({ code: "conflict" });
    expect(attempts).toBe(12);
    expect(isolation).toBe(`agt-1${".".repeat(11)}`);
    await store.close();
  });

  it("says that something is too long to be found by", async () => {
    const store = await open(schema.url);
    const slug = Array.from({ length: 10_000 }, () => Math.random().toString(36)).join("");
    const error = await store.resources.insert(resource({ id: "agt-1", slug })).catch((refused: unknown) => refused);
    expect(error).toMatchObject({ code: "too-large" });
    expect(refusalOfStore(error as StoreError)).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "A name, slug, id or organization is too long to be found by.",
    });
    await store.close();
  });

  it("does again what was broken off because two waited for each other", async () => {
    const store = await open(schema.url);
    for (const id of ["agt-1", "agt-2"]) await store.resources.insert(resource({ id }));
    const bothRead = Promise.withResolvers<void>();
    let inside = 0;
    const cross = (first: string, second: string): Promise<void> =>
      store.transaction(async (tx) => {
        const version = (await tx.resources.get("Agent", first))?.version ?? "";
        await tx.resources.replace(resource({ id: first, version: `${version}.` }), version);
        inside += 1;
        if (inside === 2) bothRead.resolve();
        await bothRead.promise;
        const other = (await tx.resources.get("Agent", second))?.version ?? "";
        await tx.resources.replace(resource({ id: second, version: `${other}.` }), other);
      });
    await Promise.all([cross("agt-1", "agt-2"), cross("agt-2", "agt-1")]);
    expect(inside).toBeGreaterThan(2);
    expect((await store.resources.get("Agent", "agt-1"))?.version).toBe("ver-1..");
    expect((await store.resources.get("Agent", "agt-2"))?.version).toBe("ver-1..");
    await store.close();
  });
});
