import { lexer, type Token, type Tokens } from "marked";

export interface SplitMarkdown {
  /** Whole blocks: whatever comes next, they stay as they are. */
  readonly stable: string;
  /** What may still become something else. */
  readonly rest: string;
  /** Whether the rest goes on with the list that `stable` ends in, without a blank line. */
  readonly restGoesOn: boolean;
}

/**
 * Splits a text that is still being written where its last block begins: a paragraph, a table or a fence of code is whole
 * when it can't be added to any more. Of a list, all items but the last are. A line that has not ended says nothing yet.
 */
export function splitMarkdown(text: string): SplitMarkdown {
  const lines = text.slice(0, text.lastIndexOf("\n") + 1);
  const tokens = lexer(lines);
  const last = tokens.findLastIndex(({ type }) => type !== "space");
  const token = tokens[last];
  if (token === undefined) return at(text, 0);
  if (isWhole(token, /\n[ \t]*\n$/.test(lines))) return at(text, lines.length);
  // Counted from the start: of the last item of a list, marked leaves out the spaces after it.
  const before = lengthOf(tokens.slice(0, last));
  if (token.type !== "list") return at(text, before);
  const { items } = token as Tokens.List;
  const split = at(text, before + lengthOf(items.slice(0, -1)));
  return { ...split, restGoesOn: items.length > 1 && !/\n[ \t]*\n$/.test(split.stable) };
}

function at(text: string, index: number): SplitMarkdown {
  return { stable: text.slice(0, index), rest: text.slice(index), restGoesOn: false };
}

function lengthOf(tokens: readonly { readonly raw: string }[]): number {
  return tokens.reduce((sum, { raw }) => sum + raw.length, 0);
}

/** Of the last block before a line break. */
function isWhole(token: Token, isBlankAfter: boolean): boolean {
  switch (token.type) {
    case "heading":
    case "hr":
      return true;
    case "code": {
      const [, fence] = /^ {0,3}(`{3,}|~{3,})/.exec(token.raw) ?? [];
      const [first, ...others] = token.raw.trimEnd().split("\n");
      return fence !== undefined && first !== undefined && (others.at(-1)?.trim().startsWith(fence) ?? false);
    }
    case "paragraph":
    case "table":
    case "blockquote":
    case "def":
      return isBlankAfter;
    default:
      return false;
  }
}
