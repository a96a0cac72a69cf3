import { goProgram } from "./go-program.ts";
import type { Requirement } from "./requirement.ts";

/** A gRPC client that shares no code with ours. */
export const grpcurl: Requirement = goProgram({
  variable: "STIGMER_TEST_GRPCURL",
  package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
  version: "1.9.4",
  title: "grpcurl",
});
