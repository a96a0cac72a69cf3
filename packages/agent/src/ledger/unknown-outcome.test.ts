import { expect, it } from "vitest";
import { askAboutLostCall, unknownOutcome } from "./unknown-outcome.ts";

const lost = { id: "c1", name: "execute", args: { command: "make deploy" }, begunAt: "2026-11-21T10:00:00.000Z" };

it("tells the model what was called and when, that it was not repeated, and what to look at", () => {
  const message = unknownOutcome(lost);
  expect(message).toMatchObject({ tool_call_id: "c1", name: "execute", status: "error" });
  expect(message.additional_kwargs).toEqual({ tool_call_outcome: "unknown" });
  for (const part of [
    "execute",
    "make deploy",
    lost.begunAt,
    "may have taken effect",
    "NOT repeated",
    "Look at what",
  ]) {
    expect(message.text).toContain(part);
  }
  expect(unknownOutcome({ ...lost, name: "edit_file" }).text).toContain("Read the file");
  expect(unknownOutcome({ ...lost, name: "crm__create" }).text).toContain("what crm__create would have changed");
});

it("tells a person the same in one line", () => {
  const line = askAboutLostCall(lost);
  expect(line).not.toContain("\n");
  for (const part of ["execute", "make deploy", lost.begunAt, "not repeated", "resume the run"])
    expect(line).toContain(part);
});

it("quotes long arguments in part", () => {
  const args = { command: "x".repeat(10_000) };
  expect(unknownOutcome({ ...lost, args }).text.length).toBeLessThan(1_500);
  expect(askAboutLostCall({ ...lost, args }).length).toBeLessThan(1_000);
  expect(unknownOutcome({ ...lost, args: undefined }).text).toContain("no arguments");
});
