// The demo's files live in the repository's examples/. A packed @stigmer/cli carries a copy, made for the moment of packing.
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";

const packageDir = join(import.meta.dirname, "..");
const copies = join(packageDir, "examples");

rmSync(copies, { recursive: true, force: true });
if (!process.argv.includes("--remove")) {
  cpSync(join(packageDir, "../../examples/repo-doctor"), join(copies, "repo-doctor"), { recursive: true });
}
