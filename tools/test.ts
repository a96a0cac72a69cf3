import { glob } from "node:fs/promises";
import { conclude, counted, runGates, tool, type Evidence } from "./gate.ts";
import { checkPackages } from "./check-packages.ts";
import { vitest } from "./vitest-gate.ts";

// `pnpm test`: everything that needs only Node. Each gate proves that it looked.

const looked = (count: number, of: string): Evidence => ({ count, of, passed: 1, failed: 0 });

const totals = await runGates([
  {
    name: "format",
    atLeast: 500,
    run: async () => looked(counted(await tool("oxfmt", ["--check"]), /on (\d+) files/), "files"),
  },
  {
    name: "lint",
    atLeast: 500,
    run: async () => looked(counted(await tool("oxlint", ["--deny-warnings"]), /on (\d+) files/), "files"),
  },
  {
    name: "types",
    atLeast: 500,
    run: async () =>
      looked(counted(await tool("tsc", ["--noEmit", "--extendedDiagnostics"]), /Files:\s+(\d+)/), "files"),
  },
  {
    name: "boundaries",
    atLeast: 12,
    run: async () => looked(counted(await tool("turbo", ["boundaries"]), /in (\d+) packages/), "packages"),
  },
  { name: "unused code", atLeast: 12, run: unusedCode },
  {
    name: "build",
    atLeast: 12,
    run: async () =>
      looked(counted(await tool("turbo", ["run", "build", "--filter=!@stigmer/docs"]), /(\d+) total/), "packages"),
  },
  { name: "packages as published", atLeast: 12, run: checkPackages },
  { name: "tests", atLeast: 2400, run: () => vitest([]) },
]);

const left = await Array.fromAsync(
  glob("{packages,apps,e2e,examples,tools,proto}/**/*.system.test.ts", { exclude: ["**/node_modules"] }),
);
console.log(
  `\nLeft to \`test:system\`, which needs more than Node or takes minutes:\n${left
    .toSorted()
    .map((file) => `  ${file}`)
    .join("\n")}`,
);
conclude(totals);

/** knip says nothing when all is well: what it had to look at is counted beside it. */
async function unusedCode(): Promise<Evidence> {
  await tool("knip", ["--no-config-hints", "--no-tag-hints"]);
  await tool("knip", ["--production", "--strict", "--no-config-hints", "--no-tag-hints"]);
  const workspaces = await Array.fromAsync(glob("{packages,apps}/*/package.json"));
  return looked(workspaces.length, "packages");
}
