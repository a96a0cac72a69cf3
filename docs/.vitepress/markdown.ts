import { relative } from "node:path";
import type { MarkdownEnv, MarkdownRenderer } from "vitepress";
import { repository, resolveLink } from "./pages.ts";

/** Makes the repository's Markdown that of the site: its links are relative to the file, and its code blocks name files. */
export function adaptMarkdown(md: MarkdownRenderer): void {
  md.core.ruler.push("repository-links", ({ tokens, env }) => {
    const file = sourceOf(env as MarkdownEnv);
    for (const token of tokens.flatMap((token) => token.children ?? [])) {
      if (token.type === "link_open") token.attrSet("href", resolveLink(token.attrGet("href") ?? "", file));
      // Two braces are a template of Vue's, except where it is told to leave them alone.
      if (token.type === "code_inline") token.attrSet("v-pre", "");
    }
  });
  const { fence } = md.renderer.rules;
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const token = tokens[index];
    const code = fence?.(tokens, index, ...rest) ?? "";
    const title = /\btitle="(?<title>[^"]+)"/.exec(token?.info ?? "")?.groups?.["title"];
    return title === undefined ? code : `<p class="file-name">${md.utils.escapeHtml(title)}</p>\n${code}`;
  };
}

/** Relative to the repository: a page's own path is that in the site. */
function sourceOf({ path, realPath }: MarkdownEnv): string {
  return relative(repository, realPath ?? path);
}
