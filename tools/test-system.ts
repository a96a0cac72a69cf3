import { access, chmod, constants, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { conclude, GateError, runGates, tool, type Evidence } from "./gate.ts";
import { vitest } from "./vitest-gate.ts";

// `pnpm test:system`: what needs more than Node. Each suite says what it needs, and fails when it did not run.

const root = dirname(import.meta.dirname);
// Debian's `nobody`: root passes every permission test, so those run as a user without rights.
const NOBODY = 65_534;

conclude(
  await runGates([
    {
      name: "system suites (buf, Go module proxy)",
      atLeast: 10,
      run: async () => {
        await installed("go", "Go fetches buf/validate/validate.proto: apt-get install golang-go");
        return vitest(["--config", "tools/vitest.system.config.ts"]);
      },
    },
    { name: "permission suites, as an unprivileged user", atLeast: 3, run: unprivileged },
  ]),
);

async function installed(command: string, otherwise: string): Promise<void> {
  await tool(command, ["version"]).catch(() => {
    throw new GateError(`${command} is not installed. ${otherwise}`);
  });
}

/** Root drops to `nobody`, in a copy of the checkout where that user can't read the original; anyone else stays who they are. */
async function unprivileged(): Promise<Evidence> {
  // The usual loader writes a bundle of the configuration beside it, which this user may not.
  const config = ["--config", "tools/vitest.unprivileged.config.ts", "--configLoader", "native"];
  if (process.getuid?.() !== 0) return vitest(config);
  const home = await mkdtemp(join(tmpdir(), "stigmer-nobody-"));
  try {
    await chmod(home, 0o777);
    const checkout = (await readableByAll(root)) ? root : await copyCheckout(home);
    return await vitest(config, {
      uid: NOBODY,
      gid: NOBODY,
      cwd: checkout,
      env: { HOME: home, TMPDIR: home, STIGMER_TEST_CACHE: join(home, "cache") },
    });
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function readableByAll(folder: string): Promise<boolean> {
  for (let path = folder; path !== dirname(path); path = dirname(path)) {
    try {
      await tool("setpriv", [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "test", "-x", path]);
    } catch {
      return false;
    }
  }
  return true;
}

async function copyCheckout(into: string): Promise<string> {
  await access(root, constants.R_OK);
  const copy = join(into, "checkout");
  await cp(root, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith("/.git") });
  await tool("chmod", ["-R", "a+rX", copy]);
  return copy;
}
