import { goProgram } from "./go-program.ts";
import type { Requirement } from "./requirement.ts";

/** Temporal's command line, whose dev server suites start for themselves. */
export const temporal: Requirement = goProgram({
  variable: "STIGMER_TEST_TEMPORAL",
  package: "github.com/temporalio/cli/cmd/temporal",
  version: "1.5.1",
  title: "Temporal's command line",
});
