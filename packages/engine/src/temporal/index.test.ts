import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const engine = fileURLToPath(new URL("..", import.meta.url));

/** The packages of Temporal's that a fresh process loads for this code. */
async function loadedBy(code: string): Promise<string[]> {
  const script = `
    import { registerHooks } from "node:module";
    const seen = new Set();
    registerHooks({ resolve: (specifier, context, next) => {
      const name = /^@temporalio\\/[^/]+/.exec(specifier)?.[0];
      if (name) seen.add(name);
      return next(specifier, context);
    } });
    ${code}
    console.log(JSON.stringify([...seen].sort()));
  `;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=@stigmer/source", "--input-type=module", "--eval", script],
    { cwd: engine },
  );
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as string[];
}

test("Temporal's packages are not loaded by importing the engines, only by making one", async () => {
  const imported = await loadedBy(`
    await import("@stigmer/engine");
    await import("@stigmer/engine/embedded");
    const { createTemporalWorker } = await import("@stigmer/engine/temporal");
    createTemporalWorker({ runnerId: "r", maxConcurrency: 1 });
  `);
  expect(imported).toEqual([]);
  const opened = await loadedBy(`
    const { createTemporalEngine } = await import("@stigmer/engine/temporal");
    await createTemporalEngine({ address: "127.0.0.1:1", namespace: "n", logger: { debug() {} } }).catch(() => {});
  `);
  expect(opened).toContain("@temporalio/worker");
});

test("without them, making one says what to install", async () => {
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve: (specifier, context, next) => {
      if (!specifier.startsWith("@temporalio/")) return next(specifier, context);
      throw Object.assign(new Error("Cannot find package '" + specifier + "'"), { code: "ERR_MODULE_NOT_FOUND" });
    } });
    const { createTemporalEngine } = await import("@stigmer/engine/temporal");
    await createTemporalEngine({ address: "127.0.0.1:1", namespace: "n" }).catch((error) => console.log(error.message));
  `;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=@stigmer/source", "--input-type=module", "--eval", script],
    { cwd: engine },
  );
  expect(stdout.trim()).toBe(
    "The Temporal engine needs packages that are not installed; run: npm install @temporalio/activity @temporalio/client @temporalio/common @temporalio/worker @temporalio/workflow",
  );
});
