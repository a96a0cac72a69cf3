import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

// Node 20 as far as a program can see, which fails where anything of a package is loaded but what looks at the version.
const pretence = `
import { registerHooks } from "node:module";
Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } });
registerHooks({
  load(url, context, next) {
    const loads = url.startsWith("node:") || /\\/src\\/(main|version|node-process)\\.ts$/.test(url);
    if (!loads) throw new Error("loaded " + url);
    return next(url, context);
  },
});
`;

function onOldNode(main: string, ...args: string[]): object {
  const preload = `data:text/javascript,${encodeURIComponent(pretence)}`;
  const flags = ["--conditions=@stigmer/source", "--import", preload];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, join(root, main), ...args], {
    encoding: "utf8",
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

test.each([["apps/cli/src/main.ts", "list", "agents"], ["apps/agent-runner/src/main.ts"]])(
  "%s says that Node is too old before it loads what such a Node does not have",
  (main, ...args) => {
    expect(onOldNode(main, ...args)).toEqual({
      status: 1,
      stdout: "",
      stderr: "Node.js 20.20.2 is too old: install Node.js 22.18 or newer (https://nodejs.org)\n",
    });
  },
);

test("stigmer tells its version all the same", () => {
  expect(onOldNode("apps/cli/src/main.ts", "--version")).toMatchObject({ status: 0, stderr: "" });
});
