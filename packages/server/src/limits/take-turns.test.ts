import { createContextValues, type UnaryRequest } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { authenticated } from "../interceptors/principal.ts";
import type { PrincipalRole } from "../interceptors/role.ts";
import { takeTurns } from "./take-turns.ts";

/** Calls that begin in `begun`, and end when they are told to. */
function open(most: number) {
  const time = { now: 0 };
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const handle = takeTurns({ most, clock: () => time.now })(async (request) => {
    const name = request.url;
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    begun.push(name);
    await end.promise;
    return undefined as never;
  });
  const call = (name: string, change: { role?: PrincipalRole; signal?: AbortSignal; stream?: true } = {}) => {
    const contextValues = createContextValues();
    const [org = ""] = name.split("/");
    authenticated(contextValues, { id: name, org, role: change.role ?? "member" });
    const { signal = new AbortController().signal, stream = false } = change;
    return handle({ url: name, stream, signal, contextValues } as unknown as UnaryRequest);
  };
  return { begun, call, time, end: (name: string) => ends.get(name) };
}

it("works on so many calls of an organization at a time, in their order, while others' go on", async () => {
  const { begun, call, end, time } = open(2);
  const calls = ["flood/1", "flood/2", "flood/3", "flood/4", "quiet/1"].map((name) => call(name));
  await expect.poll(() => begun).toEqual(["flood/1", "flood/2", "quiet/1"]);
  time.now += 2_000;
  end("flood/2")?.resolve();
  await expect.poll(() => begun.at(-1)).toBe("flood/3");
  end("flood/1")?.reject(new Error("what a call throws"));
  await expect(calls[0]).rejects.toThrow("what a call throws");
  await expect.poll(() => begun.at(-1)).toBe("flood/4");
  for (const name of begun) end(name)?.resolve();
  await Promise.all(calls.slice(1));
});

it("works on the calls of who has too many one by one while others are at work", async () => {
  const { begun, call, end, time } = open(3);
  const quiet = call("quiet/1");
  const flood = [1, 2, 3, 4, 5, 6, 7].map((index) => call(`flood/${index}`));
  await expect.poll(() => begun).toEqual(["quiet/1", "flood/1", "flood/2", "flood/3"]);
  end("flood/1")?.resolve();
  end("flood/2")?.resolve();
  await Promise.all(flood.slice(0, 2));
  expect(begun).toHaveLength(4);
  // As many as fit begin at once: there is no flood.
  const few = ["quiet/2", "quiet/3"].map((name) => call(name));
  await expect.poll(() => begun.slice(4)).toEqual(["quiet/2", "quiet/3"]);
  end("flood/3")?.resolve();
  await expect.poll(() => begun.at(-1)).toBe("flood/4");
  for (const name of ["quiet/1", "quiet/2", "quiet/3"]) end(name)?.resolve();
  await Promise.all([quiet, ...few]);
  time.now += 2_000;
  end("flood/4")?.resolve();
  await expect.poll(() => begun.slice(7)).toEqual(["flood/5", "flood/6", "flood/7"]);
  for (const name of begun.slice(7)) end(name)?.resolve();
  await Promise.all(flood);
});

it("lets no call of who has too many wait for a long one of theirs", async () => {
  const { begun, call, end } = open(2);
  const all = ["quiet/1", "flood/1", "flood/2", "flood/3", "flood/4"].map((name) => call(name));
  await expect.poll(() => begun).toHaveLength(3);
  end("flood/1")?.resolve();
  await all[1];
  expect(begun).toHaveLength(3);
  await expect.poll(() => begun.at(-1), { timeout: 10_000 }).toBe("flood/3");
  end("flood/2")?.resolve();
  end("flood/3")?.resolve();
  await expect.poll(() => begun.at(-1)).toBe("flood/4");
  for (const name of begun) end(name)?.resolve();
  await Promise.all(all);
});

it("takes who is gone out of the line, and gives each turn on", async () => {
  const { begun, call, end } = open(1);
  const first = call("a/1");
  const gone = new AbortController();
  const second = call("a/2", { signal: gone.signal });
  const third = call("a/3");
  gone.abort(new Error("gone"));
  await expect(second).rejects.toThrow("gone");
  await expect(call("a/4", { signal: gone.signal })).rejects.toThrow("gone");
  end("a/1")?.resolve();
  await first;
  await expect.poll(() => begun).toEqual(["a/1", "a/3"]);
  end("a/3")?.resolve();
  await third;
  const fifth = call("a/5");
  await expect.poll(() => begun.at(-1)).toBe("a/5");
  end("a/5")?.resolve();
  await fifth;
});

it("counts neither streams nor runners", async () => {
  const { begun, call } = open(1);
  void call("a/1");
  void call("a/2", { stream: true });
  void call("a/3", { role: "runner" });
  await expect.poll(() => begun.toSorted()).toEqual(["a/1", "a/2", "a/3"]);
});
