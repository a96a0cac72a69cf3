import { basename } from "node:path";
import type { DefaultTheme } from "vitepress";
import { linkOf, pages, titleOf } from "./pages.ts";

/** Guides in the order in which they are best read. One that is missing here ends the build. */
const GUIDES = [
  "agents",
  "runs",
  "manifests",
  "models",
  "skills",
  "mcp",
  "sub-agents",
  "approvals",
  "sessions",
  "budgets",
  "observability",
  "local-mode",
  "cloud",
  "write-a-sandbox-backend",
];

const item = (file: string): DefaultTheme.SidebarItem => ({ text: titleOf(file), link: linkOf(file) });
/** The packages of the API without what they all begin with. */
const apiItem = (file: string): DefaultTheme.SidebarItem => ({
  text: titleOf(file).replace(/^ai\.stigmer\.(?:agentic\.|commons\.|iam\.(?=\w+\.)|tenancy\.)?/, ""),
  link: linkOf(file),
});
const below = (pattern: RegExp): string[] => [...pages.keys()].filter((file) => pattern.test(file));

export function makeSidebar(): DefaultTheme.SidebarItem[] {
  const guides = below(/^docs\/guides\//).toSorted((one, other) => placeOf(one) - placeOf(other));
  return [
    { text: "Start", items: ["docs/getting-started.md", "docs/concepts.md", "docs/troubleshooting.md"].map(item) },
    { text: "Guides", items: guides.map(item) },
    {
      text: "Reference",
      items: [
        ...["docs/reference/cli.md", "docs/reference/configuration.md", "docs/reference/metrics.md"].map(item),
        { ...item("docs/reference/api.md"), collapsed: true, items: below(/^docs\/reference\/api\//).map(apiItem) },
      ],
    },
    { text: "Architecture", items: ["ARCHITECTURE.md", ...below(/^docs\/architecture\//), "SECURITY.md"].map(item) },
    { text: "Packages", collapsed: true, items: below(/^(?:packages|apps)\//).map(item) },
    {
      text: "Work on it",
      collapsed: true,
      items: ["CONTRIBUTING.md", "deploy/README.md", "examples/README.md"].map(item),
    },
  ];
}

function placeOf(file: string): number {
  const place = GUIDES.indexOf(basename(file, ".md"));
  if (place < 0) throw new Error(`${file} has no place in the sidebar: give it one in docs/.vitepress/sidebar.ts`);
  return place;
}
