import { expect, it } from "vitest";
import { createTurns } from "./lock.ts";

function open() {
  const time = { now: 0 };
  const turns = createTurns({ now: () => time.now });
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<string>>();
  const work = (owner: string, name: string): Promise<string> =>
    turns(owner, () => {
      begun.push(name);
      const end = Promise.withResolvers<string>();
      ends.set(name, end);
      return end.promise;
    });
  return { time, begun, work, end: (name: string) => ends.get(name) };
}

it("runs an owner's work piece by piece, in its order, beside that of another", async () => {
  const { begun, work, end } = open();
  const other = work("b", "b1");
  const all = ["a1", "a2", "a3"].map((name) => work("a", name));
  await expect.poll(() => begun).toEqual(["b1", "a1"]);
  end("a1")?.reject(new Error("what it throws"));
  await expect(all[0]).rejects.toThrow("what it throws");
  await expect.poll(() => begun).toEqual(["b1", "a1", "a2"]);
  end("a2")?.resolve("done");
  expect(await all[1]).toBe("done");
  await expect.poll(() => begun.at(-1)).toBe("a3");
  for (const name of ["a3", "b1"]) end(name)?.resolve(name);
  expect(await Promise.all([all[2], other])).toEqual(["a3", "b1"]);
});

it("runs all of it at once when nobody else is at work, also what waited until then", async () => {
  const { time, begun, work, end } = open();
  const alone = ["a1", "a2", "a3"].map((name) => work("a", name));
  await expect.poll(() => begun).toEqual(["a1", "a2", "a3"]);
  const other = work("b", "b1");
  const late = ["a4", "a5", "a6"].map((name) => work("a", name));
  await expect.poll(() => begun).toEqual(["a1", "a2", "a3", "b1"]);
  time.now += 1_000;
  end("a1")?.resolve("a1");
  await expect.poll(() => begun.slice(4)).toEqual(["a4", "a5", "a6"]);
  for (const name of begun.slice(1)) end(name)?.resolve(name);
  await Promise.all([...alone, ...late, other]);
});
