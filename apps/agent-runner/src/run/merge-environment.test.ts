import { describe, expect, it } from "vitest";
import { mergeEnvironment } from "./merge-environment.ts";

const plain = (value: string): { value: string; isSecret: boolean } => ({ value, isSecret: false });
const secret = (value: string): { value: string; isSecret: boolean } => ({ value, isSecret: true });

describe("mergeEnvironment", () => {
  it("lets later layers win", () => {
    const merged = mergeEnvironment([
      { A: plain("agent"), B: plain("agent"), C: plain("agent"), D: plain("agent") },
      { B: plain("first"), C: plain("first"), D: plain("first") },
      { C: plain("second"), D: plain("second") },
      { D: plain("run") },
    ]);
    expect(merged.values).toEqual({ A: "agent", B: "first", C: "second", D: "run" });
  });

  it("keeps a value under a later declaration without one", () => {
    expect(mergeEnvironment([{ A: plain("set") }, { A: plain("") }, { B: plain("") }]).values).toEqual({ A: "set" });
  });

  it("names the secrets that are in force, not those overlaid", () => {
    const merged = mergeEnvironment([{ A: secret("old-token"), B: secret("kept-token") }, { A: plain("shown") }]);
    expect(merged.secrets).toEqual(["kept-token"]);
  });
});
