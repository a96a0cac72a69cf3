import { describe, expect, test } from "vitest";
import { assertSupported } from "./capabilities.ts";
import { filesystemCapabilities } from "./filesystem/capabilities.ts";
import type { CommonSandboxOptions } from "./sandbox.ts";

const declared = {
  ...filesystemCapabilities(),
  network: ["off", "allow-list"] as const,
  limits: ["processes"] as const,
};
const refusalOf = (options: Pick<CommonSandboxOptions, "network" | "limits">): unknown => {
  try {
    return assertSupported(options, declared, "filesystem");
  } catch (error) {
    return error;
  }
};

describe("what was asked for", () => {
  test.each<Pick<CommonSandboxOptions, "network" | "limits">>([
    {},
    { limits: {} },
    { limits: { processes: 1, memoryBytes: undefined } },
    { network: { type: "off" } },
    {
      network: { type: "allow-list", domains: ["a.example", "*.example.com", "localhost", "10.0.0.1", "a_b.example"] },
    },
  ])("is accepted: %j", (options) => {
    expect(refusalOf(options)).toBeUndefined();
  });

  test("is refused by its name, with what there is instead", () => {
    expect(refusalOf({ network: { type: "full" } })).toMatchObject({
      code: "unsupported",
      message: `The filesystem backend can't keep the network policy "full" here. It keeps: off, allow-list.`,
    });
    expect(refusalOf({ limits: { memoryBytes: 1 } })).toMatchObject({
      code: "unsupported",
      message: "The filesystem backend can't keep the limit memoryBytes here. It keeps: processes.",
    });
  });

  test.each(["", "*", "*.*.a", "a b", "https://a.example", "a.example:443", "a..b", "-a.example"])(
    "is no domain: %j",
    (domain) => {
      expect(refusalOf({ network: { type: "allow-list", domains: [domain] } })).toMatchObject({
        code: "invalid-argument",
      });
    },
  );
});
