import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { referenceFile, renderReference } from "../scripts/write-reference.ts";

test("docs/reference/cli.md is current", () => {
  const howTo = "is written by `pnpm --filter @stigmer/cli generate`: run it";
  expect(readFileSync(referenceFile, "utf8"), `docs/reference/cli.md ${howTo}`).toBe(renderReference());
});
