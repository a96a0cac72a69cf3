import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ClientError } from "./errors.ts";

test.each([
  ["execution aex-1", "aex-1 has ended (completed)", "execution aex-1 has ended (completed)"],
  ["message to execution aex-1", "aex-1 is about to end", "execution aex-1 is about to end"],
  ["status of execution aex-1", "AgentExecution aex-1 was deleted", "AgentExecution aex-1 was deleted"],
  ['agent "doctor"', "Agent doctor does not exist", "Agent doctor does not exist"],
  ["execution aex-1", "Session ses-1 does not exist", "execution aex-1: Session ses-1 does not exist"],
  ["execution aex-1", "aex-12 has ended", "execution aex-1: aex-12 has ended"],
  ["execution aex-1", "metadata.version.id: read it again", "execution aex-1: metadata.version.id: read it again"],
  ["organizations", "Organizations are not here", "organizations: Organizations are not here"],
])("of %s the server says %j, and what it is about is named once: %j", (subject, reason, message) => {
  const error = new ConnectError(reason, Code.FailedPrecondition);
  expect(ClientError.from(error, subject).message).toBe(message);
});
