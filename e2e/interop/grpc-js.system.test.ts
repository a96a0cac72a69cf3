import { describe } from "vitest";
import { openGrpcJs } from "./clients/grpc-js.ts";
import { describeEveryMethod } from "./every-method.ts";

describe("@grpc/grpc-js", () => {
  describeEveryMethod(openGrpcJs);
});
