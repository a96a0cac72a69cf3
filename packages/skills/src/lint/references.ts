// What a Markdown text says about other files.
import { fromMarkdown } from "mdast-util-from-markdown";

export interface FileReference {
  /** A link must lead somewhere; a mention in text or code looks like a file of the skill. */
  readonly kind: "link" | "mention";
  /** As it is written, without what follows `#` or `?`. */
  readonly target: string;
  /** In the text, counted from 1. */
  readonly line: number;
}

interface Node {
  readonly type: string;
  readonly url?: string;
  readonly value?: string;
  readonly children?: readonly Node[];
  readonly position?: { readonly start: { readonly line: number } };
}

const LINKS = new Set(["link", "image", "definition"]);
/** What the format calls the folders of a skill. What goes on with a placeholder names no file. */
const MENTION = /(?<![\w./@~-])(?:\.\/)?((?:scripts|references|assets)\/[\w-]+(?:[./][\w-]+)*)(?![\w/<{*$[-])/g;

/** The files that a Markdown text links to, and those of the usual folders that it names. Links elsewhere are left out. */
export function findReferences(markdown: string): FileReference[] {
  const references: FileReference[] = [];
  const visit = (node: Node): void => {
    const line = node.position?.start.line ?? 1;
    const target = LINKS.has(node.type) ? toPath(node.url ?? "") : undefined;
    if (target !== undefined) references.push({ kind: "link", target, line });
    if (node.type !== "html") {
      for (const [index, text] of (node.value ?? "").split("\n").entries()) {
        // The first line of a fenced block is its fence.
        const at = line + index + (node.type === "code" ? 1 : 0);
        for (const [, path = ""] of text.matchAll(MENTION))
          references.push({ kind: "mention", target: path, line: at });
      }
    }
    for (const child of node.children ?? []) visit(child);
  };
  visit(fromMarkdown(markdown));
  return references;
}

/** The path that a link has, or undefined where it leads to the network or to a place in its own text. */
function toPath(url: string): string | undefined {
  if (/^([a-z][a-z0-9+.-]*:|\/\/|[#?])/i.test(url)) return undefined;
  const path = url.replace(/[#?].*$/s, "");
  try {
    return decodeURIComponent(path) || undefined;
  } catch {
    return path;
  }
}
