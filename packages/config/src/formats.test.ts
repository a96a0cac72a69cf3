import * as fc from "fast-check";
import { expect, test } from "vitest";
import { expandHome, type Format, schemaOf, splitAddress } from "./formats.ts";

const read = (format: Format, text: string, mode: "local" | "cloud" = "local"): unknown => {
  const result = schemaOf(format, { mode, home: "/home/ada" }).safeParse(text);
  return result.success ? result.data : "refused";
};

test("a key is the same bytes from base64, base64url and hex", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      for (const encoding of ["base64", "base64url", "hex"] as const) {
        expect(read({ type: "key", bytes: 32 }, Buffer.from(bytes).toString(encoding))).toEqual(Uint8Array.from(bytes));
      }
    }),
  );
});

test("what a header can't carry is no token, such as the … of an instruction that was copied", () => {
  const token: Format = { type: "token" };
  expect(["sk-ant_1/+=", " sk-1\n", "…", "sk-1 # mine", "schlüssel"].map((text) => read(token, text))).toEqual([
    "sk-ant_1/+=",
    "sk-1",
    "refused",
    "refused",
    "refused",
  ]);
});

test("a key of another length is refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      // 48 bytes whose base64 is all hex digits are 32 bytes in hex.
      fc.pre(bytes.length !== 32 && bytes.length !== 48);
      expect(read({ type: "key", bytes: 32 }, Buffer.from(bytes).toString("base64"))).toBe("refused");
      expect(read({ type: "key", bytes: 32 }, Buffer.from(bytes).toString("hex"))).toBe("refused");
    }),
  );
});

test("every port of a host comes back as it was given", () => {
  fc.assert(
    fc.property(fc.domain(), fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      expect(splitAddress(`${host}:${port}`)).toEqual({ host, port });
    }),
  );
});

test.each([
  "localhost",
  "localhost:",
  ":50051",
  "localhost:0",
  "localhost:65536",
  "a b:1",
  "http://a:1",
  "::1:50051",
  "[x]:1",
  "a:1/b",
])("%j is no address", (text) => {
  expect(splitAddress(text)).toBeUndefined();
});

test("an IPv6 address loses its brackets", () => {
  expect(splitAddress("[::1]:50051")).toEqual({ host: "::1", port: 50051 });
});

test("numbers", () => {
  const temperature: Format = { type: "number", min: 0, max: 2 };
  expect(["0", "0.7", "2", "-1", "2.01", "1e0", "0x1", "NaN"].map((text) => read(temperature, text))).toEqual([
    0,
    0.7,
    2,
    "refused",
    "refused",
    "refused",
    "refused",
    "refused",
  ]);
});

test("databases", () => {
  const database: Format = { type: "database" };
  expect(read(database, "~/c.db")).toEqual({ type: "sqlite", file: "/home/ada/c.db" });
  expect(read(database, "file:///data/c.db")).toEqual({ type: "sqlite", file: "/data/c.db" });
  expect(read(database, "file://elsewhere/c.db")).toBe("refused");
  expect(read(database, "postgres://u:p@h/d")).toEqual({ type: "postgres", url: "postgres://u:p@h/d" });
  expect(read(database, "postgres://u:p@[h/d")).toBe("refused");
  expect(read(database, "/c.db", "cloud")).toBe("refused");
});

test("networks", () => {
  const network: Format = { type: "network" };
  expect(["off", "full", "a.com,*.b.org", "a.com,", "*", "https://a.com"].map((text) => read(network, text))).toEqual([
    { type: "off" },
    { type: "full" },
    { type: "allow-list", domains: ["a.com", "*.b.org"] },
    "refused",
    "refused",
    "refused",
  ]);
});

test("only a leading ~ is the home folder", () => {
  expect(["~", "~/a", "~bob/a", "a/~", "/a"].map((path) => expandHome(path, "/h"))).toEqual([
    "/h",
    "/h/a",
    "~bob/a",
    "a/~",
    "/a",
  ]);
});
