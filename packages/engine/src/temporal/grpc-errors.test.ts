import { expect, test } from "vitest";
import { errorCode, errorText, isAway, isOverloaded } from "./grpc-errors.ts";

const rpc = (code: number, message: string): Error => Object.assign(new Error(message), { code });

test.each([
  ["14 UNAVAILABLE: No connection established.", 14, true],
  ["4 DEADLINE_EXCEEDED: Deadline exceeded after 0.001s", 4, true],
  ["8 RESOURCE_EXHAUSTED: rps limit", 8, false],
  ["5 NOT_FOUND: Namespace nope is not found.", 5, false],
  ["3 INVALID_ARGUMENT: Blob data size exceeds limit.", 3, false],
])("%s is known by its code, also under wrappers", (message, code, away) => {
  const wrapped = new Error("Failed to start Workflow", { cause: rpc(code, message) });
  expect([errorCode(wrapped), isAway(wrapped), isOverloaded(wrapped)]).toEqual([code, away, code === 8]);
  expect(errorText(wrapped)).toBe(message.replace(/^\d+ [A-Z_]+: /, ""));
});

test.each([
  [
    'tonic::transport::Error(Transport, ConnectError(ConnectError("tcp connect error", 127.0.0.1:1, Os { code: 111, kind: ConnectionRefused, message: "Connection refused" })))',
    "Connection refused",
  ],
  [
    'tonic::transport::Error(Transport, ConnectError(ConnectError("dns error", Custom { kind: Uncategorized, error: "failed to lookup address information: Name or service not known" })))',
    "failed to lookup address information: Name or service not known",
  ],
  ["two\n  lines", "two lines"],
])("an error's debug form becomes one plain line", (message, expected) => {
  expect(errorText(new Error(message))).toBe(expected);
});

test("what is no error has no code", () => {
  expect([errorCode("text"), errorCode(new Error("plain")), isAway(undefined)]).toEqual([undefined, undefined, false]);
  expect(errorText("text")).toBe("text");
});
