import { expect, it } from "vitest";
import { shareAnswers } from "./share-answers.ts";

/** Each question with how to answer it. */
function open() {
  const asked: { readonly key: string; readonly answer: PromiseWithResolvers<string> }[] = [];
  const shared = shareAnswers((key) => {
    const answer = Promise.withResolvers<string>();
    asked.push({ key, answer });
    return answer.promise;
  });
  return { asked, shared };
}

it("asks once for all who come while a question is under way, and never gives them that one's answer", async () => {
  const { asked, shared } = open();
  const first = shared("a");
  const others = [shared("a"), shared("a"), shared("a")];
  const elsewhere = shared("b");
  expect(asked.map(({ key }) => key)).toEqual(["a", "b"]);
  asked[0]?.answer.resolve("before");
  asked[1]?.answer.resolve("b's");
  expect([await first, await elsewhere]).toEqual(["before", "b's"]);
  await expect.poll(() => asked.length).toBe(3);
  const later = shared("a");
  asked[2]?.answer.resolve("after");
  expect(await Promise.all(others)).toEqual(["after", "after", "after"]);
  await expect.poll(() => asked.length).toBe(4);
  asked[3]?.answer.resolve("later still");
  expect(await later).toBe("later still");
});

it("passes a failure to those who share it, and asks anew for who comes then", async () => {
  const { asked, shared } = open();
  const first = shared("a");
  const second = shared("a");
  asked[0]?.answer.reject(new Error("away"));
  await expect(first).rejects.toThrow("away");
  await expect.poll(() => asked.length).toBe(2);
  asked[1]?.answer.resolve("back");
  expect(await second).toBe("back");
  const third = shared("a");
  await expect.poll(() => asked.length).toBe(3);
  asked[2]?.answer.resolve("again");
  expect(await third).toBe("again");
});
