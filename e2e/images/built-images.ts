import { execa } from "execa";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { repository } from "../stigmer.ts";
import { importBaseImages } from "./base-images.ts";
import type { Engine } from "./engine.ts";

/** Both images, built by their Dockerfiles from what is tracked, with what must never get into them lying about. */
export interface BuiltImages {
  readonly base: string;
  readonly server: string;
  readonly runner: string;
  /** What the first stage left: all that was built from. */
  readonly buildStage: string;
  /** Stands in files that belong to nobody's image, and nowhere else. */
  readonly canary: string;
}

/** What people keep in a checkout. */
const PRIVATE_FILES = [
  ".env",
  "deploy/.env",
  "apps/cli/.env.local",
  "packages/server/tls.key",
  "packages/server/tls.pem",
  "packages/server/src/.git/config",
  "my-secrets.yaml",
  "deploy/kubernetes/my-secrets.yaml",
];

/** `version` is the tag that the product asks for. */
export async function buildImages(engine: Engine, version: string): Promise<BuiltImages> {
  const { packageManager = "" } = JSON.parse(await readFile(join(repository, "package.json"), "utf8")) as {
    packageManager?: string;
  };
  const bases = await importBaseImages(engine, packageManager.replace("pnpm@", ""));
  const canary = `canary-${crypto.randomUUID()}`;
  const images = {
    base: bases.base,
    server: `stigmer/server:${version}`,
    runner: `stigmer/agent-runner:${version}`,
    buildStage: "stigmer-test-stage",
    canary,
  };
  const context = await mkdtemp(join(tmpdir(), "stigmer-context-"));
  try {
    await copyCheckout(context);
    for (const file of PRIVATE_FILES) {
      await mkdir(dirname(join(context, file)), { recursive: true });
      await writeFile(join(context, file), `SECRET=${canary}\n`);
    }
    const build = (name: "server" | "runner", tag: string, ...more: string[]): Promise<string> =>
      engine.docker(
        [
          "build",
          `--file=${join(context, `deploy/docker/${name}.Dockerfile`)}`,
          `--tag=${tag}`,
          `--build-arg=BASE_IMAGE=${bases.base}`,
          `--build-arg=BUILD_IMAGE=${bases.build}`,
          `--build-arg=VERSION=${version}`,
          // As an engine does that reaches nobody.
          "--network=none",
          ...more,
          context,
        ],
        { env: { ANTHROPIC_API_KEY: canary } },
      );
    // Of the same first stage, which the engine keeps: only what comes after it is made anew.
    await build("server", images.buildStage, "--target=build");
    await build("server", images.server);
    await build("runner", images.runner);
    return images;
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

async function copyCheckout(into: string): Promise<void> {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { stdout } = await execa("git", list, { cwd: repository });
  const files = stdout.split("\0").filter((file) => file !== "");
  for (const file of files) {
    // Also one that was removed and not yet committed.
    await cp(join(repository, file), join(into, file), { verbatimSymlinks: true }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    });
  }
}
