import { describe, expect, it } from "vitest";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";
import { resource } from "./resources.ts";

/** Text that databases are known to change, refuse or compare in ways of their own. */
const TEXTS: Readonly<Record<string, string>> = {
  empty: "",
  "a NUL": "a\0b",
  "what stands for a NUL": "\x01\x010\x011",
  "control characters": "\b\t\n\r\x1b\x7f\x80",
  quotes: `'"\\ ;-- $1 :id ? {} [] NULL`,
  spaces: "  a ",
  "beyond the basic plane": "🦎 𝒳 ​ ﷽",
  "one letter in two ways": "\u00e9 e\u0301",
  long: "ü".repeat(300_000),
};

/** Names that mean something to JavaScript or to JSON. */
const KEYS: readonly string[] = ["__proto__", "constructor", "a.b/c", "", '"', "0", "A", "a", "\u00e9", "e\u0301", "\0", "🦎"];

const EDGES: readonly number[] = [0, 1, 2 ** 31, 2 ** 53 - 1];

/** Every value comes back as it went in, and is found by itself alone: where databases differ. */
export function valueCases(subject: Subject): void {
  describe("values", () => {
    it.each(Object.keys(TEXTS))("keeps text as it is, and finds by it: %s", async (name) => {
      const text = TEXTS[name] ?? "";
      const { resources, executions, tasks, queue, ledger } = subject.store;
      const record = resource({ id: "agt-1", name: text, labels: { [text]: text }, tags: [text, "other", text] });
      await resources.insert(record);
      await resources.insert(resource({ id: "agt-2", tags: [`${text}.`], labels: { [text]: `${text}.` } }));
      const run = execution({ id: "aex-1", name: text, error: text, labels: { [text]: text }, tags: [text] });
      await executions.insert(run);
      await tasks.enqueue(task("aex-1"));
      await queue.requestCancel("aex-1", text);
      await queue.pause("aex-1", text);
      await queue.deliver("aex-1", { id: `m ${text.slice(0, 100)}`, payload: new Uint8Array([1]) });

      expect(await resources.get("Agent", "agt-1")).toEqual(record);
      const found = async (filter: object): Promise<string[]> =>
        (await resources.list({ kind: "Agent", ...filter }, { limit: 9 })).map(({ id }) => id);
      expect(await found({ tags: [text] })).toEqual(["agt-1"]);
      expect(await found({ labels: { [text]: text } })).toEqual(["agt-1"]);
      expect(await executions.get("aex-1")).toMatchObject({ name: text, error: text, tags: [text], labels: { [text]: text } });
      expect(await executions.count({ tags: [text], labels: { [text]: text } })).toBe(1);
      expect(await queue.undeliverable({ maxAttempts: 5 })).toMatchObject([{ cancelReason: text, pauseReason: text }]);
      expect((await queue.inbox("aex-1", { seen: 0 }))[0]?.id).toBe(`m ${text.slice(0, 100)}`);
      await executions.append({
        id: "aex-1",
        expectedRevision: 1,
        delta: new Uint8Array(),
        summary: { error: `${text}!`, startedAt: text },
      });
      expect(await executions.get("aex-1")).toMatchObject({ error: `${text}!`, startedAt: text });

      const next = { sessionId: "ses-2", queue: "q2" };
      await executions.insert(execution({ id: "aex-2" }));
      await tasks.enqueue(task("aex-2", next));
      await queue.lease({ queue: "q2", runnerId: text, now: 1, leaseMs: 1, maxAttempts: 9 });
      expect((await queue.leasedTo(text))[0]).toMatchObject({ id: "aex-2", runnerId: text });
      const call = { executionId: "aex-2", fence: 1, callKey: text, toolName: text, toolClass: "once", now: 1 } as const;
      expect(await ledger.begin({ ...call, requestId: text })).toEqual({ kind: "started" });
      expect(await ledger.begin({ ...call, requestId: text })).toEqual({ kind: "started" });
      expect(await ledger.begin({ ...call, callKey: `${text}.`, requestId: text })).toEqual({ kind: "started" });
      expect(await ledger.count("aex-2")).toBe(2);
      expect((await queue.expire({ now: 9, failure: text })).map(({ lastFailure }) => lastFailure)).toEqual([text]);
    });

    it("keeps labels and tags whatever they are called, and tells them apart", async () => {
      const { resources } = subject.store;
      for (const [index, key] of KEYS.entries()) {
        const labels = Object.fromEntries([...KEYS.slice(0, index), key].map((name) => [name, `of ${name}`]));
        await resources.insert(resource({ id: `agt-${index}`, tags: [key], labels, createdAt: index }));
      }
      for (const [index, key] of KEYS.entries()) {
        const ids = async (filter: object): Promise<string[]> =>
          (await resources.list({ kind: "Agent", ...filter }, { limit: 99 })).map(({ id }) => id);
        expect(await ids({ tags: [key] }), key).toEqual([`agt-${index}`]);
        const labels = Object.fromEntries([[key, `of ${key}`]]);
        expect(await ids({ labels }), key).toHaveLength(KEYS.length - index);
        expect(Object.keys((await resources.get("Agent", `agt-${index}`))?.labels ?? {}).toSorted()).toEqual(
          KEYS.slice(0, index + 1).toSorted(),
        );
      }
      expect(await resources.count({ kind: "Agent", tags: ["a", "A"] })).toBe(0);
      expect(await resources.count({ kind: "Agent", tags: ["a", "a"] })).toBe(1);
      expect(await resources.count({ kind: "Agent", tags: [], labels: {} })).toBe(KEYS.length);
    });

    it("tells slugs, organisations and ids apart by every character, and orders by them", async () => {
      const { resources } = subject.store;
      // In the order of their characters' numbers, which no language has.
      const ids = ["A", "B", "Z", "_", "a", "a-b", "a_b", "aa", "b", "z", "ä", "é"];
      for (const id of ids.toSorted(() => 0.5 - Math.random())) {
        await resources.insert(resource({ id, slug: id, org: id }));
      }
      const listed = await resources.list({ kind: "Agent" }, { limit: 99 });
      expect(listed.map(({ id }) => id)).toEqual(ids.toReversed());
      for (const [index, id] of ids.entries()) {
        const after = await resources.list({ kind: "Agent" }, { limit: 99, after: { createdAt: 1_000, id } });
        expect(after.map((each) => each.id)).toEqual(ids.slice(0, index).toReversed());
        expect(await resources.getByAddress({ kind: "Agent", org: id, ownerScope: 2, slug: id })).toMatchObject({ id });
        expect(await resources.count({ kind: "Agent", org: id })).toBe(1);
      }
    });

    it("pages through runs of the same moment without a gap or a repetition", async () => {
      const { executions } = subject.store;
      const ids = Array.from({ length: 25 }, (_, index) => `aex-${String.fromCodePoint(65 + index)}`);
      for (const id of ids) await executions.insert(execution({ id, createdAt: 7 }));
      const seen: string[] = [];
      for (let id: string | undefined = "aex-~"; id !== undefined; ) {
        const page = await executions.list({ org: "local" }, { limit: 4, after: { createdAt: 7, id } });
        seen.push(...page.map((each) => each.id));
        id = page.at(-1)?.id;
      }
      expect(seen).toEqual(ids.toReversed());
    });

    it("keeps bytes of every length and value, also none", async () => {
      const every = Uint8Array.from({ length: 256 }, (_, index) => index);
      const large = new Uint8Array(3 * 1024 * 1024 + 1).fill(255);
      const { resources, executions, tasks, queue, artifacts, skillVersions } = subject.store;
      for (const [index, bytes] of [new Uint8Array(), every, every.subarray(3, 9), large].entries()) {
        const id = `aex-${index}`;
        const same = (stored: Uint8Array | undefined): void => {
          expect(stored).toBeInstanceOf(Uint8Array);
          expect(Buffer.compare(stored ?? new Uint8Array([1, 2, 3, 4]), bytes)).toBe(0);
        };
        await resources.insert(resource({ id, body: bytes }));
        same((await resources.get("Agent", id))?.body);
        await executions.insert(execution({ id, body: bytes, snapshot: bytes }));
        same((await executions.get(id))?.body);
        same((await executions.snapshot(id))?.status);
        await executions.append({ id, expectedRevision: 1, delta: bytes });
        same((await executions.log(id, 0))[0]?.delta);
        await executions.append({ id, expectedRevision: 2, delta: bytes, snapshot: bytes });
        same((await executions.snapshot(id))?.status);
        await tasks.enqueue(task(id, { payload: bytes, sessionId: "" }));
        await queue.deliver(id, { id: "m", payload: bytes });
        same((await queue.inbox(id, { seen: 0 }))[0]?.payload);
        same((await queue.lease({ queue: "q", runnerId: "r", now: 1, leaseMs: 1, maxAttempts: 9 }))?.payload);
        await skillVersions.put({ skillId: id, hash: "h", createdAt: 1, body: bytes });
        same((await skillVersions.get(id, "h"))?.body);
        const key = String(index).repeat(64);
        await artifacts.put(key, bytes);
        same(await artifacts.get(key));
      }
    });

    it("keeps whole numbers as far as JavaScript counts", async () => {
      const { resources, executions, tasks, queue } = subject.store;
      for (const [index, edge] of EDGES.entries()) {
        await resources.insert(resource({ id: `agt-${index}`, createdAt: edge, updatedAt: edge }));
        expect(await resources.get("Agent", `agt-${index}`)).toMatchObject({ createdAt: edge, updatedAt: edge });
        await executions.insert(execution({ id: `aex-${index}`, createdAt: edge }));
        expect(await executions.get(`aex-${index}`)).toMatchObject({ createdAt: edge });
        await tasks.enqueue(task(`aex-${index}`, { createdAt: edge, queue: "edges", sessionId: "" }));
        const now = Math.min(edge, 2 ** 53 - 2);
        const leased = await queue.lease({ queue: "edges", runnerId: "r", now, leaseMs: 1, maxAttempts: 2 ** 40 });
        expect(leased?.createdAt).toBe(edge);
        expect(await queue.nextDue({ now: 0 })).toBe(now + 1);
        await queue.end(`aex-${index}`);
      }
      expect((await resources.list({ kind: "Agent" }, { limit: 2 ** 40 })).map(({ createdAt }) => createdAt)).toEqual(
        EDGES.toReversed(),
      );
    });

    it("takes a limit at its word", async () => {
      const { resources, executions } = subject.store;
      for (const id of ["a", "b", "c"]) {
        await resources.insert(resource({ id }));
        await executions.insert(execution({ id }));
      }
      for (const limit of [0, 1, 3, 4]) {
        const most = Math.min(limit, 3);
        expect(await resources.list({ kind: "Agent" }, { limit })).toHaveLength(most);
        expect(await executions.list({}, { limit })).toHaveLength(most);
        expect(await resources.count({ kind: "Agent" }, limit)).toBe(most);
        expect(await executions.count({}, limit)).toBe(most);
      }
      expect(await executions.count({})).toBe(3);
      expect(await executions.revisions([])).toEqual(new Map());
    });
  });
}
