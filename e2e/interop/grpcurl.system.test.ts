import { describe } from "vitest";
import { openGrpcurl } from "./clients/grpcurl.ts";
import { describeEveryMethod } from "./every-method.ts";

describe.each(["reflection", "descriptors"] as const)("grpcurl by %s", (by) => {
  describeEveryMethod((world) => openGrpcurl({ ...world, by }));
});
