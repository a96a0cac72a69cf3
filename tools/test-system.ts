import { access, chmod, constants, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { conclude, GateError, runGates, tool, type Evidence } from "./gate.ts";
import { bubblewrap } from "./system/bubblewrap.ts";
import { chromium } from "./system/chromium.ts";
import { docker } from "./system/docker.ts";
import { grpcurl } from "./system/grpcurl.ts";
import { interruption, noticeInterruption } from "./system/interruption.ts";
import { postgres } from "./system/postgres.ts";
import { redis } from "./system/redis.ts";
import { provideAll } from "./system/requirement.ts";
import { secretService } from "./system/secret-service.ts";
import { NOBODY } from "./system/service.ts";
import { shells } from "./system/shells.ts";
import { temporal } from "./system/temporal.ts";
import { vitest } from "./vitest-gate.ts";

// `pnpm test:system`: what needs more than Node, or takes minutes. It brings up what suites need and takes it down again, also on Ctrl-C; a
// suite whose needs can't be met has failed.

const root = dirname(import.meta.dirname);

noticeInterruption();
conclude(
  await runGates([
    {
      name: "system suites (buf, Go module proxy, Temporal, Postgres, Redis, grpcurl, bubblewrap, Docker, shells, keychain, Chromium)",
      atLeast: 500,
      run: async () => {
        await installed("go", "Go fetches buf/validate/validate.proto: apt-get install golang-go");
        await using environment = await provideAll(
          [temporal, postgres, redis, grpcurl, bubblewrap, docker, shells, secretService, chromium],
          interruption,
        );
        return await vitest(["--config", "tools/vitest.system.config.ts"], {
          env: environment.env,
          cancelSignal: interruption,
        });
      },
    },
    { name: "permission suites, as an unprivileged user", atLeast: 12, run: unprivileged },
  ]),
);

async function installed(command: string, otherwise: string): Promise<void> {
  await tool(command, ["version"]).catch(() => {
    throw new GateError(`${command} is not installed. ${otherwise}`);
  });
}

/** Root passes every permission test: it drops to `nobody`, in a copy of the checkout where that user can't read the original; anyone else stays who they are. */
async function unprivileged(): Promise<Evidence> {
  interruption.throwIfAborted();
  // The usual loader writes a bundle of the configuration beside it, which this user may not.
  const config = ["--config", "tools/vitest.unprivileged.config.ts", "--configLoader", "native"];
  if (process.getuid?.() !== 0) return vitest(config, { cancelSignal: interruption });
  const home = await mkdtemp(join(tmpdir(), "stigmer-nobody-"));
  try {
    await chmod(home, 0o777);
    const checkout = (await readableByAll(root)) ? root : await copyCheckout(home);
    return await vitest(config, {
      cancelSignal: interruption,
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
