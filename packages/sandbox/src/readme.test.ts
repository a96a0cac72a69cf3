// What the README says of the backends is what they declare.
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { daytonaCapabilities } from "./daytona/capabilities.ts";
import { dockerCapabilities } from "./docker/capabilities.ts";
import { filesystemCapabilities } from "./filesystem/capabilities.ts";
import { isolatedCapabilities } from "./isolated/capabilities.ts";
import type { SandboxCapabilities } from "./sandbox.ts";

/** As on Linux, for a user without privileges. */
const backends: Readonly<Record<string, SandboxCapabilities>> = {
  filesystem: filesystemCapabilities({ tracksEscapes: true }),
  isolated: isolatedCapabilities({
    platform: "linux",
    tracksEscapes: true,
    limits: ["cpuSeconds", "memoryBytes", "processes"],
  }),
  docker: dockerCapabilities,
  daytona: daytonaCapabilities(),
};

const rows: Readonly<Record<keyof SandboxCapabilities, string>> = {
  isolation: "commands can't reach the rest of the machine",
  network: "network policies, the default first",
  limits: "limits",
  tracksEscapes: "finds descendants that got away (`tracksEscapes`)",
  backgroundProcesses: "background processes",
  separateStderr: "stderr apart from stdout",
  snapshot: "starts from a snapshot or image",
};

function cell(value: boolean | readonly string[]): string {
  if (typeof value === "boolean") return value ? "yes" : "–";
  return value.length === 0 ? "–" : value.join(", ");
}

test("the README's table of capabilities is what the code declares", async () => {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const names = Object.keys(backends);
  const table = [
    line(["", ...names]),
    line(["---", ...names.map(() => "---")]),
    ...Object.entries(rows).map(([name, words]) =>
      line([words, ...Object.values(backends).map((declared) => cell(declared[name as keyof SandboxCapabilities]))]),
    ),
  ].join("\n");
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const found = /<!-- capabilities: [^\n]*-->\n+([^]*?)\n+<!-- \/capabilities -->/.exec(readme)?.[1];
  expect(found).toBe(table);
});
