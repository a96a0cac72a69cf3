import { ClientError } from "@stigmer/client";
import { expect, it } from "vitest";
import { explain } from "./explain.ts";

it.each([
  ["a server that is not there", {}, "Cannot reach stigmer-server at 127.0.0.1:1: run `stigmer local start`"],
  [
    "a server that answers that it can't",
    { metadata: new Headers({ "content-type": "application/grpc" }) },
    "agent x: the disk is full: make room in /data",
  ],
])("%s", (_what, cause, says) => {
  const error = new ClientError("unavailable", "agent x: the disk is full: make room in /data", { cause });
  expect(explain(error, "127.0.0.1:1")).toMatchObject({
    code: "failed",
    message: expect.stringContaining(says) as string,
  });
});
