import { describe, expect, test } from "vitest";
import { createAllowList } from "./allow-list.ts";

describe("an allow-list", () => {
  const list = createAllowList(["Example.com", "*.npmjs.org", "10.0.0.7"]);

  test.each(["example.com", "EXAMPLE.COM", "example.com.", "registry.npmjs.org", "a.b.npmjs.org", "10.0.0.7"])(
    "allows %s",
    (host) => expect(list.allows(host)).toBe(true),
  );

  const refused = "npmjs.org www.example.com example.com.evil.net evilexample.com evilnpmjs.org .npmjs.org.x 10.0.0.8";
  const malformed = "[::1] ::1 127.0.0.1 localhost example.com:443 user@example.com";
  test.each(["", ...refused.split(" "), ...malformed.split(" ")])("refuses %s", (host) =>
    expect(list.allows(host)).toBe(false),
  );
});

describe("a name", () => {
  const addresses = (host: string, all: boolean): Promise<unknown> =>
    new Promise((resolve, reject) => {
      createAllowList([host]).lookup(host, { all }, (error, found) => (error ? reject(error) : resolve(found)));
    });

  test.each(["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0"])(
    "does not lead to this machine: %s",
    async (host) => {
      await expect(addresses(host, true)).rejects.toThrow("this machine itself");
    },
  );

  test("leads where it stands for, and localhost is meant when it is listed", async () => {
    expect(await addresses("10.1.2.3", true)).toEqual([{ address: "10.1.2.3", family: 4 }]);
    expect(await addresses("10.1.2.3", false)).toBe("10.1.2.3");
    expect(await addresses("localhost", false)).toMatch(/^(127\.0\.0\.1|::1)$/);
  });
});
