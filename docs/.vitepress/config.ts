import { fileURLToPath } from "node:url";
import { defineConfig, type UserConfig } from "vitepress";
import { adaptMarkdown } from "./markdown.ts";
import { pages, slugOf } from "./pages.ts";
import { makeSidebar } from "./sidebar.ts";

// The site is static, and asks no other host for anything: search runs in the reader's browser, over an index of the site's own.

const vueForNode: ReadonlyMap<string, string> = new Map([
  ["vue", fileURLToPath(import.meta.resolve("vue"))],
  ["vue/server-renderer", fileURLToPath(import.meta.resolve("vue/server-renderer"))],
]);

const config: UserConfig = defineConfig({
  title: "Stigmer",
  description: "AI agents as durable executions, on your own machine or in your cloud.",
  lang: "en",
  srcDir: "..",
  // All that is no page; what is one is said in pages.ts.
  srcExclude: [
    "*(README|AGENTS|CHANGELOG).md",
    ".*/**",
    "{bench,e2e,proto,tools}/**",
    "{deploy,examples}/*/**",
    "{packages,apps}/*/!(README.md)",
    "{packages,apps}/*/*/**",
  ],
  // Addresses on the reader's own machine; every other dead link ends the build.
  ignoreDeadLinks: "localhostLinks",
  rewrites: Object.fromEntries(pages),
  markdown: { config: adaptMarkdown, anchor: { slugify: slugOf } },
  // Pages lie all over the repository, from where Vue can't be found. For the browser VitePress finds it itself.
  vite: {
    plugins: [
      {
        name: "vue-of-the-site",
        enforce: "pre",
        resolveId: (id, _, options) => (options?.ssr ? vueForNode.get(id) : undefined),
      },
    ],
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Getting started", link: "/getting-started" },
      { text: "Guides", link: "/guides/agents" },
      { text: "Reference", link: "/reference/cli" },
    ],
    sidebar: makeSidebar(),
    socialLinks: [{ icon: "github", link: "https://github.com/stigmer/stigmer" }],
  },
});

export default config;
