import { stripVTControlCharacters, styleText } from "node:util";
import stringWidth from "string-width";
import { describe, expect, test } from "vitest";
import type { Paint } from "../colors.ts";
import { renderMarkdown } from "./render-markdown.ts";
import { splitMarkdown } from "./stable-markdown.ts";

const plain: Paint = (_, text) => text;
const colored: Paint = (color, text) => styleText(color, text, { validateStream: false });
const render = (text: string, width = 40): string => renderMarkdown(text, { width, paint: plain }).join("\n");

const sample = `# Heading

A paragraph with **bold**, *italic*, ~~gone~~, \`code\` and a [link](https://example.com/a), long enough to wrap.
A second line.

- one
- two, which is long enough to be wrapped twice on a terminal as narrow as this one
  1. nested
  2. again
- [x] done

10. ten
11. eleven

> quoted, and long enough to be wrapped on a narrow terminal
> - with a list

| left | middle | right |
|:-----|:------:|------:|
| a | b | 1 |
| 漢字 | **c** | 1000 |

\`\`\`ts
const a = 1;

  indented();
\`\`\`

---

<b>html</b> &amp; https://example.com/
`;

describe("rendering", () => {
  test("every kind of block", () => {
    expect(render(sample)).toMatchInlineSnapshot(`
      "# Heading

      A paragraph with bold, italic, gone,
      \`code\` and a link
      (https://example.com/a), long enough to
      wrap.
      A second line.

      • one
      • two, which is long enough to be
        wrapped twice on a terminal as narrow
        as this one
        1. nested
        2. again
      ☑ done

      10. ten
      11. eleven

      │ quoted, and long enough to be wrapped
      │ on a narrow terminal
      │
      │ • with a list

      left  middle  right
      ────  ──────  ─────
      a       b         1
      漢字    c      1000

        const a = 1;

          indented();

      ────────────────────────────────────────

      <b>html</b> &amp; https://example.com/"
    `);
  });

  test.each([12, 24, 40, 80])("is never wider than %i columns", (width) => {
    for (const paint of [plain, colored]) {
      const lines = renderMarkdown(sample, { width, paint });
      expect(lines.filter((line) => stringWidth(line) > width)).toEqual([]);
    }
  });

  test("says the same in colours", () => {
    const painted = renderMarkdown(sample.replaceAll("`code`", "code"), { width: 40, paint: colored }).join("\n");
    expect(stripVTControlCharacters(painted)).toBe(render(sample.replaceAll("`code`", "code")));
    expect(painted).toContain(colored("bold", "bold"));
  });

  test("a table that does not fit becomes a list of its cells", () => {
    expect(render("| name | what it does |\n|---|---|\n| a | something long |\n| b | else |", 18)).toBe(
      "name: a\nwhat it does:\n  something long\n\nname: b\nwhat it does:\n  else",
    );
  });

  test("prose is not wider than can be read, on however wide a terminal", () => {
    expect(
      Math.max(
        ...render("word ".repeat(100), 300)
          .split("\n")
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(100);
  });
});

describe("splitting what is still being written", () => {
  /** As it is streamed, letter by letter: what became stable, and what was left. */
  function stream(text: string): { chunks: string[]; rest: string } {
    const chunks: string[] = [];
    let open = "";
    for (const letter of text) {
      const { stable, rest } = splitMarkdown(open + letter);
      if (stable !== "") chunks.push(stable);
      open = rest;
    }
    return { chunks, rest: open };
  }

  test("loses nothing", () => {
    const { chunks, rest } = stream(sample);
    expect(chunks.join("") + rest).toBe(sample);
  });

  test("block by block is what it is at once", () => {
    const { chunks, rest } = stream(sample);
    const lines = (text: string): string[] =>
      render(text)
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean);
    expect([...chunks, rest].flatMap(lines)).toEqual(lines(sample));
  });

  test.each([
    ["a paragraph until a blank line", "one\ntwo\n", ""],
    ["a paragraph before a blank line", "one\n\ntwo", "one\n\n"],
    ["an underlined heading until it is one", "Title\n---", ""],
    ["a fence until it is closed", "```\ncode\n\nmore\n", ""],
    ["a closed fence", "```\ncode\n```\n", "```\ncode\n```\n"],
    ["a table until a blank line", "| a |\n|---|\n| 1 |\n", ""],
    ["the last item of a list", "- one\n- two\n", "- one\n"],
    ["a line that has not ended", "# Head", ""],
    ["indented code, which may go on", "    code\n\n", ""],
  ])("holds %s", (_, text, stable) => {
    expect(splitMarkdown(text).stable).toBe(stable);
  });

  test("tells whether a list goes on without a blank line", () => {
    expect(splitMarkdown("- one\n- two\n").restGoesOn).toBe(true);
    expect(splitMarkdown("- one\n\n- two\n").restGoesOn).toBe(false);
    expect(splitMarkdown("one\n\ntwo").restGoesOn).toBe(false);
  });
});
