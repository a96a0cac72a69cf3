import { expect, it } from "vitest";
import { createTurns } from "./lock.ts";

it("runs so much of an owner's work at a time, in its order, beside that of others", async () => {
  const turns = createTurns(2);
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<string>>();
  const work = (owner: string, name: string): Promise<string> =>
    turns(owner, () => {
      begun.push(name);
      const end = Promise.withResolvers<string>();
      ends.set(name, end);
      return end.promise;
    });
  const all = ["a1", "a2", "a3", "a4", "b1"].map((name) => work(name[0] ?? "", name));
  expect(begun).toEqual(["a1", "a2", "b1"]);
  ends.get("a2")?.reject(new Error("what it throws"));
  await expect(all[1]).rejects.toThrow("what it throws");
  await expect.poll(() => begun.at(-1)).toBe("a3");
  ends.get("a1")?.resolve("done");
  expect(await all[0]).toBe("done");
  await expect.poll(() => begun.at(-1)).toBe("a4");
  for (const name of ["a3", "a4", "b1"]) ends.get(name)?.resolve(name);
  expect(await Promise.all(all.slice(2))).toEqual(["a3", "a4", "b1"]);
  const later = work("a", "a5");
  expect(begun.at(-1)).toBe("a5");
  ends.get("a5")?.resolve("a5");
  expect(await later).toBe("a5");
});
