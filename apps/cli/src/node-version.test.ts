import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { whyNodeIsUnfit } from "./node-version.ts";

test.each(["22.18.0", "22.20.1", "24.0.0", "26.1.0"])("Node.js %s will do", (version) => {
  expect(whyNodeIsUnfit(version)).toBeUndefined();
});

test.each(["18.20.4", "20.20.2", "22.17.9"])("Node.js %s is too old", (version) => {
  expect(whyNodeIsUnfit(version)).toEqual({
    problem: `${version} is too old`,
    fix: "install Node.js 22.18 or newer (https://nodejs.org)",
  });
});

test("stigmer says so before it loads what such a Node does not have, and tells its version all the same", () => {
  const old = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } })`;
  const pretence = `data:text/javascript,${encodeURIComponent(old)}`;
  const main = join(import.meta.dirname, "main.ts");
  const stigmer = (...args: string[]) =>
    spawnSync(process.execPath, ["--conditions=@stigmer/source", "--import", pretence, main, ...args], {
      encoding: "utf8",
      timeout: 20_000,
    });
  expect(stigmer("list", "agents")).toMatchObject({
    status: 1,
    stdout: "",
    stderr: "Node.js 20.20.2 is too old: install Node.js 22.18 or newer (https://nodejs.org)\n",
  });
  expect(stigmer("--version")).toMatchObject({ status: 0, stderr: "" });
});
