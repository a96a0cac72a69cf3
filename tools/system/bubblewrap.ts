import { execa } from "execa";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";

/** What the isolated sandboxes are made of. The suites find it in the usual places, as everyone's installation is found. */
export const bubblewrap: Requirement = {
  variable: "STIGMER_TEST_BUBBLEWRAP",
  async provide() {
    if (!(await isInstalled())) await installPackage("bubblewrap");
    return { value: "bwrap", release: async () => {} };
  },
};

async function isInstalled(): Promise<boolean> {
  const result = await execa("bwrap", ["--version"], { reject: false, stdin: "ignore" });
  return result.exitCode === 0;
}
