// Markdown for a terminal, over marked's lexer. The renderers that exist for it take the text apart after it was painted, and
// so neither wrap lists and quotes by their own margins nor fit tables into narrow terminals.
import { lexer, type Token, type Tokens } from "marked";
import wrapAnsi from "wrap-ansi";
import type { Paint } from "../colors.ts";
import { renderTable } from "./render-table.ts";

export interface MarkdownStyle {
  /** Columns of the terminal. */
  readonly width: number;
  readonly paint: Paint;
}

/** Prose is hard to read when its lines are longer, however wide the terminal. */
const mostColumns = 100;
/** What nested lists and quotes leave at least; deeper ones are wrapped by the terminal. */
const leastColumns = 10;

/** The lines of a text in Markdown, none wider than `width`. The text must be harmless already (`plainText`). */
export function renderMarkdown(text: string, { width, paint }: MarkdownStyle): string[] {
  return blocks(lexer(text), { width: Math.min(width, mostColumns), paint });
}

/** Breaks painted text into lines. */
export function wrapLines(text: string, width: number): string[] {
  return wrapAnsi(text, Math.max(width, leastColumns), { hard: true, trim: true }).split("\n");
}

function blocks(tokens: readonly Token[], style: MarkdownStyle, tight = false): string[] {
  const lines: string[] = [];
  for (const token of tokens) {
    const block = renderBlock(token, style);
    if (block.length === 0) continue;
    if (lines.length > 0 && !tight) lines.push("");
    lines.push(...block);
  }
  return lines;
}

function renderBlock(token: Token, style: MarkdownStyle): string[] {
  const { width, paint } = style;
  switch (token.type) {
    case "space":
    case "def":
      return [];
    case "heading": {
      const { depth, tokens } = token as Tokens.Heading;
      const text = `${"#".repeat(depth)} ${inline(tokens, paint)}`;
      return wrapLines(paint(depth === 1 ? ["bold", "underline"] : "bold", text), width);
    }
    case "code":
      return renderCode(token as Tokens.Code, style);
    case "list":
      return renderList(token as Tokens.List, style);
    case "blockquote": {
      const inner = blocks((token as Tokens.Blockquote).tokens, narrower(style, 2));
      return inner.map((line) => `${paint("dim", "│")} ${line}`.trimEnd());
    }
    case "table": {
      const { header, rows, align } = token as Tokens.Table;
      const cell = ({ tokens }: Tokens.TableCell): string => inline(tokens, paint).replaceAll("\n", " ");
      return renderTable({ head: header.map(cell), rows: rows.map((row) => row.map(cell)), align }, style);
    }
    case "hr":
      return [paint("dim", "─".repeat(Math.min(width, 40)))];
    case "html":
      return wrapLines(token.raw.trimEnd(), width);
    default:
      return wrapLines(inline("tokens" in token && token.tokens ? token.tokens : [token], paint), width);
  }
}

/** Code keeps its line breaks and its spaces; what is too long goes on at the margin. */
function renderCode({ text }: Tokens.Code, { width, paint }: MarkdownStyle): string[] {
  return text.split("\n").flatMap((line) =>
    wrapAnsi(line.replaceAll("\t", "    "), Math.max(width - 2, leastColumns), {
      hard: true,
      trim: false,
      wordWrap: false,
    })
      .split("\n")
      .map((part) => (part === "" ? "" : `  ${paint("cyan", part)}`)),
  );
}

function renderList({ items, ordered, start, loose }: Tokens.List, style: MarkdownStyle): string[] {
  const first = Number(start) || (start === 0 ? 0 : 1);
  const signs = items.map((item, at) => {
    if (item.task) return item.checked ? "☑" : "☐";
    return ordered ? `${first + at}.` : "•";
  });
  const margin = Math.max(...signs.map((sign) => sign.length)) + 1;
  return items.flatMap((item, at) => {
    const lines = blocks(
      item.tokens.filter(({ type }) => type !== "checkbox"),
      narrower(style, margin),
      !loose,
    );
    const sign = (signs[at] ?? "").padStart(margin - 1);
    const rendered = (lines.length === 0 ? [""] : lines).map((line, row) =>
      `${row === 0 ? `${style.paint("dim", sign)} ` : " ".repeat(margin)}${line}`.trimEnd(),
    );
    return at > 0 && loose ? ["", ...rendered] : rendered;
  });
}

function narrower({ width, paint }: MarkdownStyle, by: number): MarkdownStyle {
  return { width: Math.max(width - by, leastColumns), paint };
}

function inline(tokens: readonly Token[], paint: Paint): string {
  return tokens.map((token) => renderInline(token, paint)).join("");
}

function renderInline(token: Token, paint: Paint): string {
  const inner = (): string => inline("tokens" in token && token.tokens ? token.tokens : [], paint);
  switch (token.type) {
    case "strong":
      return paint("bold", inner());
    case "em":
      return paint("italic", inner());
    case "del":
      return paint("strikethrough", inner());
    case "codespan": {
      const { text } = token as Tokens.Codespan;
      const painted = paint("cyan", text);
      // Without colours the backticks tell what is to be typed.
      return painted === text ? `\`${text}\`` : painted;
    }
    case "br":
      return "\n";
    case "checkbox":
      return "";
    case "link": {
      const { href, text } = token as Tokens.Link;
      const label = inner();
      // A terminal makes a written address clickable; a hidden one could lead anywhere.
      return href === text || href === `mailto:${text}`
        ? paint("underline", label)
        : `${label} (${paint("underline", href)})`;
    }
    case "image": {
      const { href, text } = token as Tokens.Image;
      return text === "" ? href : `${text} (${href})`;
    }
    case "text":
      // Line breaks stay, as in a chat: models mean them.
      return "tokens" in token && token.tokens ? inner() : token.raw.replace(/ *\n */g, "\n");
    case "escape":
      return (token as Tokens.Escape).text;
    default:
      return token.raw;
  }
}
