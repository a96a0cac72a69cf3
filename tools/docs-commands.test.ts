import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";

// Every command that a page shows is executed by a test, or is named here with the reason why not. ```sh is for those that are executed
// (e2e/guide-commands.ts), ```console for the others.

const root = join(import.meta.dirname, "..");
const pages = (
  await Array.fromAsync(
    glob(["*.md", "docs/**/*.md", "{packages,apps,examples}/*/README.md", "{examples,deploy,bench}/README.md"], {
      cwd: root,
      exclude: (name) => basename(name) === "node_modules",
    }),
  )
).toSorted();

interface Block {
  readonly page: string;
  readonly line: number;
  readonly info: string;
  readonly text: string;
}

async function blocksOf(page: string): Promise<Block[]> {
  const markdown = await readFile(join(root, page), "utf8");
  const fences = markdown.matchAll(/^ *(?<fence>`{3,})(?<info>[^\n`]*)\n(?<text>.*?)^ *\k<fence>[ \t]*$/gms);
  return [...fences].map(({ index, groups: { info = "", text = "" } = {} }) => {
    const line = markdown.slice(0, index).split("\n").length;
    return { page, line, info: info.trim(), text };
  });
}

const blocks = (await Promise.all(pages.map(blocksOf))).flat();
const executed = blocks.filter(({ info }) => /^sh( fails)?$/.test(info));
const shown = blocks.filter(({ info }) => info === "console");

/** Which test executes the ```sh blocks of which pages; each names them, or where it finds them. */
const EXECUTED_BY: readonly {
  readonly pages: RegExp;
  readonly test: string;
  readonly names: string;
  /** Of their blocks only these. */
  readonly only?: RegExp;
}[] = [
  { pages: /^docs\/getting-started\.md$/, test: "e2e/publishing.system.test.ts", names: "docs/getting-started.md" },
  { pages: /^docs\/guides\/cloud\.md$/, test: "e2e/cloud/guide.system.test.ts", names: "docs/guides/cloud.md" },
  { pages: /^docs\/([\w-]+|guides\/[\w-]+)\.md$/, test: "e2e/guides.system.test.ts", names: "docs/guides/" },
  { pages: /^apps\/cli\/README\.md$/, test: "e2e/guides.system.test.ts", names: "apps/${name}/README.md" },
  {
    pages: /^apps\/agent-runner\/README\.md$/,
    test: "e2e/publishing.system.test.ts",
    names: "apps/agent-runner/README",
  },
  { pages: /^README\.md$/, test: "e2e/readmes.system.test.ts", names: '"README.md"' },
  { pages: /^examples\//, test: "e2e/readmes.system.test.ts", names: "examples/{README.md,*/README.md}" },
  {
    pages: /^packages\/\w[\w-]*\/README\.md$/,
    test: "e2e/publishing.system.test.ts",
    names: "packages/*/README.md",
    only: /^npm install [^\n]+\n$/,
  },
];

const KEY = "takes a key of a person's, or asks for it; with a key that a test has, other blocks of the page run";
const OTHER = "needs what is no part of this: ";
/** Page, first line of the block, and why no test executes it. */
const EXCEPTIONS: readonly (readonly [page: string, start: string, why: string])[] = [
  ["AGENTS.md", "npx -y pnpm@12 install", "they are CI itself, which runs this test"],
  ["CONTRIBUTING.md", "npx -y pnpm@12 test ", "they are CI itself, which runs this test"],
  ["README.md", "npx -y pnpm@12 demo", "CI itself, and the demo: e2e/demo.system.test.ts"],
  ["README.md", "npx -y pnpm@12 stigmer execution pause aex-…", "stands for any run: docs/guides/runs.md has one"],
  [
    "README.md",
    "curl -H",
    "the port and home of a default installation: e2e/interop/clients/curl.ts calls a test's own",
  ],
  ["docs/reference/api.md", "curl -H", "the same"],
  ["apps/cli/README.md", "npm install --global", "an overview of docs/getting-started.md, which is executed"],
  ["apps/cli/README.md", "stigmer chaos run", "stands for any agent: e2e/chaos.system.test.ts has one"],
  ["apps/agent-runner/README.md", "npm install --global", `${KEY}; installed it is by the test`],
  ["apps/agent-runner/README.md", "temporal server start-dev", "the test starts its own, on a free port"],
  ["bench/README.md", "npx -y pnpm@12 bench", "measures for minutes, on a quiet machine"],
  ["docs/architecture/scaling.md", "export STIGMER_TEST_POSTGRES_URL", "measures for minutes, on a quiet machine"],
  ["docs/guides/cloud.md", "docker build", "e2e/images does it, with images of the machine's own as a base"],
  ["deploy/README.md", "docker build", "e2e/images does it, with images of the machine's own as a base"],
  ["deploy/README.md", "cp deploy/env.example", "e2e/images/compose.ts does it, with ports of its own"],
  ["deploy/README.md", "kubectl apply", `${OTHER}a cluster; e2e/deploy.test.ts holds the files to the API's schema`],
  ["deploy/README.md", "kubectl -n stigmer create secret", `${OTHER}a cluster`],
  ["docs/guides/local-mode.md", "export ANTHROPIC_API_KEY", KEY],
  ["docs/guides/local-mode.md", "stigmer config key set", "asks on a terminal: e2e/key-prompt.system.test.ts answers"],
  ["docs/guides/local-mode.md", "stigmer local start --engine temporal", "e2e/local-temporal.system.test.ts"],
  ["docs/guides/models.md", "export ANTHROPIC_API_KEY", KEY],
  [
    "docs/guides/observability.md",
    "$ export OTEL_EXPORTER",
    "needs a collector: e2e/observability.system.test.ts is one",
  ],
  [
    "examples/log-detective/README.md",
    "npx -y pnpm@12 stigmer apply",
    "asks on a terminal: e2e/examples.test.ts answers",
  ],
  [
    "packages/engine/README.md",
    "temporal workflow start",
    "a workflow of the engine's by other hands: packages/engine/src/temporal/foreign-callers.system.test.ts",
  ],
];

test("pages and commands are found", () => {
  expect(pages.length).toBeGreaterThan(60);
  expect(executed.length).toBeGreaterThan(120);
});

test("a block of commands says whether it is executed", () => {
  // ```bash and the like would be neither; one with a title is a file.
  const others = blocks.filter(({ info }) =>
    /^(bash|shell|zsh|fish|shell-session|terminal|powershell|sh\b(?! fails$)(?!.*title=).+)/.test(info),
  );
  expect(others.map(({ page, line }) => `${page}:${line}`)).toEqual([]);
});

test.each(executed.map((block) => [`${block.page}:${block.line}`, block] as const))(
  "%s is executed",
  async (_, { page, text }) => {
    const by = EXECUTED_BY.find(({ pages }) => pages.test(page));
    expect(by, "by no test: add the page to one, or make the block ```console with a reason here").toBeDefined();
    expect(await readFile(join(root, by?.test ?? ""), "utf8")).toContain(by?.names);
    expect(text).toMatch(by?.only ?? /./);
  },
);

test("what is not executed has a reason, and each reason is still needed", () => {
  const isOf = ([page, start]: (typeof EXCEPTIONS)[number], block: Block): boolean =>
    block.page === page && block.text.startsWith(start);
  const unnamed = shown.filter((block) => !EXCEPTIONS.some((exception) => isOf(exception, block)));
  expect(unnamed.map(({ page, line }) => `${page}:${line}`)).toEqual([]);
  const stale = EXCEPTIONS.filter((exception) => !shown.some((block) => isOf(exception, block)));
  expect(stale).toEqual([]);
  // A reason may be that a test does it in its own way.
  for (const [page, , why] of EXCEPTIONS)
    for (const [path] of why.matchAll(/\b(?:e2e|packages|docs|bench)\/[\w./-]*\w/g))
      expect(existsSync(join(root, path)), `${page}: ${path}`).toBe(true);
});

test("what they run by pnpm is there", async () => {
  const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { scripts: object };
  const known = new Set([...Object.keys(scripts), "exec", "install", "--filter"]);
  const commands = [...blocks, ...shown].flatMap(({ page, text }) =>
    [...text.matchAll(/\bnpx -y pnpm@12 (?<name>[\w:-]+)/g)].map(({ groups }) => ({
      page,
      name: groups?.["name"] ?? "",
    })),
  );
  expect(commands.length).toBeGreaterThan(20);
  expect(commands.filter(({ name }) => !known.has(name))).toEqual([]);
});
