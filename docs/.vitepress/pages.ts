import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";

// What the site is made of: docs/, and the Markdown beside the code that docs/ links to. One list decides what is a page, under
// which path, and where a link leads.

export const repository: string = resolve(import.meta.dirname, "../..");
const SOURCES = "https://github.com/stigmer/stigmer";

/** Every page of the site: the file in the repository, and its path in the site. */
export const pages: ReadonlyMap<string, string> = new Map(
  globSync(
    ["docs/*.md", "docs/!(node_modules)/**/*.md", "{packages,apps}/*/README.md", "{deploy,examples}/README.md", "*.md"],
    { cwd: repository, exclude: (name) => name === "node_modules" || name === "CHANGELOG.md" },
  )
    // They are for those who read the repository.
    .filter((file) => file !== "README.md" && file !== "AGENTS.md")
    .toSorted()
    .map((file) => [file, sitePath(file)]),
);

function sitePath(file: string): string {
  if (file === "docs/README.md") return "index.md";
  if (file.startsWith("docs/")) return file.slice("docs/".length);
  if (file.endsWith("/README.md")) return `${dirname(file)}.md`;
  return file.toLowerCase();
}

/** The path of a page in the site, as links have it. */
export function linkOf(file: string): string {
  const path = pages.get(file);
  if (path === undefined) throw new Error(`${file} is no page: see docs/.vitepress/pages.ts`);
  return `/${path.replace(/(^|\/)index\.md$/, "$1").replace(/\.md$/, "")}`;
}

/** The first heading of a page. */
export function titleOf(file: string): string {
  const title = /^# (?<title>.+)$/m.exec(readFileSync(join(repository, file), "utf8"))?.groups?.["title"];
  if (title === undefined) throw new Error(`${file} has no heading`);
  return title.replaceAll("`", "");
}

/**
 * Where a link of a file leads in the site: to the page, or, for what is no page, to the repository. Throws when there is nothing
 * under it, or no such heading in it, which ends the build.
 */
export function resolveLink(href: string, file: string): string {
  if (/^(?:[a-z]+:|\/\/)/i.test(href)) return href;
  const [path = "", anchor] = href.split("#");
  const target = path === "" ? file : normalize(join(dirname(file), decodeURI(path))).replace(/\/$/, "");
  const absolute = join(repository, target);
  if (relative(repository, absolute).startsWith("..") || !existsSync(absolute))
    throw new Error(`${file}: the link to ${href} is dead: there is no ${target}`);
  if (anchor !== undefined && target.endsWith(".md") && !anchorsOf(target).has(anchor))
    throw new Error(`${file}: the link to ${href} is dead: there is no such heading in ${target}`);
  if (path === "") return href;
  const isFolder = statSync(absolute).isDirectory();
  const page = [target, join(target, "README.md")].find((candidate) => pages.has(candidate));
  const suffix = anchor === undefined ? "" : `#${anchor}`;
  if (page !== undefined) return `${linkOf(page)}${suffix}`;
  return `${SOURCES}/${isFolder ? "tree" : "blob"}/main/${target}${suffix}`;
}

/** What a heading is linked by, as GitHub makes it, so that one link holds in both places. */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
    .replaceAll(" ", "-");
}

const anchors = new Map<string, ReadonlySet<string>>();

function anchorsOf(file: string): ReadonlySet<string> {
  const known = anchors.get(file);
  if (known !== undefined) return known;
  const found = new Set<string>();
  for (const { groups } of withoutCode(readFileSync(join(repository, file), "utf8")).matchAll(
    /^#{1,6} (?<text>.+)$/gm,
  )) {
    const slug = slugOf((groups?.["text"] ?? "").replace(/\[(?<text>[^\]]*)\]\([^)]*\)/g, "$<text>"));
    let unique = slug;
    for (let count = 1; found.has(unique); count += 1) unique = `${slug}-${count}`;
    found.add(unique);
  }
  anchors.set(file, found);
  return found;
}

/** What looks like a heading or a link in a code block is none. */
export function withoutCode(markdown: string): string {
  return markdown.replace(/^(?<fence>`{3,}).*?^\k<fence>[ \t]*$/gms, "");
}
