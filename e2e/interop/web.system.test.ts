import { describe } from "vitest";
import { openCurl } from "./clients/curl.ts";
import { openGrpcWeb } from "./clients/grpc-web.ts";
import { describeEveryMethod } from "./every-method.ts";

describe.each(["1.1", "2"] as const)("curl over HTTP/%s", (http) => {
  describeEveryMethod((world) => openCurl({ ...world, http }));
});

describe("gRPC-Web by fetch", () => {
  describeEveryMethod(openGrpcWeb);
});
