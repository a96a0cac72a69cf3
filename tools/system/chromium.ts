import { execa } from "execa";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";

/** What looks at the documentation's site as a reader does. */
export const chromium: Requirement = {
  variable: "STIGMER_TEST_CHROMIUM",
  async provide() {
    const { exitCode } = await execa("chromium", ["--version"], { reject: false, stdin: "ignore" });
    if (exitCode !== 0) await installPackage("chromium");
    return { value: "/usr/bin/chromium", release: async () => {} };
  },
};
