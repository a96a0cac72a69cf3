import { execa } from "execa";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";

/** What people type into. bash is everywhere; the suites find the others in the usual places. */
export const shells: Requirement = {
  variable: "STIGMER_TEST_SHELLS",
  async provide() {
    for (const shell of ["zsh", "fish"]) {
      const { exitCode } = await execa(shell, ["--version"], { reject: false, stdin: "ignore" });
      if (exitCode !== 0) await installPackage(shell);
    }
    return { value: "bash,zsh,fish", release: async () => {} };
  },
};
