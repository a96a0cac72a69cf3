// Takes a shell line apart into the simple commands that it would run, as far as that can be told without running it. A small
// parser, and careful rather than complete: what it does not know makes the line one that can't be told.

/**
 * Stands in a word for what only the shell knows when it runs the line: a variable, a substitution, a wildcard. Every text is
 * possible in its place.
 */
export const UNKNOWN = "\uFFFC";

/** One simple command, its words without quotes. */
export interface SimpleCommand {
  readonly words: readonly string[];
  /** Assignments before it, as `NAME=value`. */
  readonly variables: readonly string[];
  /** It writes its output to a file that is none of `/dev/null` and the like. */
  readonly writes: boolean;
}

export type ShellLine =
  | { readonly kind: "commands"; readonly commands: readonly SimpleCommand[] }
  /** Nobody can tell what it runs. */
  | { readonly kind: "unclear" };

class Unclear extends Error {}

const longestLine = 20_000;

/** Never throws. */
export function readShellLine(text: string): ShellLine {
  if (text.length > longestLine || text.includes(UNKNOWN) || text.includes("\0")) return { kind: "unclear" };
  try {
    const commands: SimpleCommand[] = [];
    new Reader(text, commands, 0).readAll();
    return { kind: "commands", commands };
  } catch (error) {
    if (error instanceof Unclear) return { kind: "unclear" };
    throw error;
  }
}

/** Words that may stand before a command and are none. */
const openers: ReadonlySet<string> = new Set(["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"]);
/** Words that end something that was opened. */
const closers: ReadonlySet<string> = new Set(["fi", "done", "}"]);
/** What gives names other meanings, or has a grammar of its own. */
const strange: ReadonlySet<string> = new Set(["case", "esac", "function", "select", "coproc", "alias", "[[", "trap"]);

const deepest = 20;

interface Word {
  readonly text: string;
  /** Quotes or escapes were in it: it is no keyword. */
  readonly quoted: boolean;
}

class Reader {
  readonly #text: string;
  readonly #commands: SimpleCommand[];
  readonly #depth: number;
  #at = 0;
  /** Here-documents whose bodies begin after this line. */
  #documents: { readonly end: string; readonly literal: boolean; readonly indented: boolean }[] = [];

  constructor(text: string, commands: SimpleCommand[], depth: number) {
    if (depth > deepest) throw new Unclear();
    this.#text = text;
    this.#commands = commands;
    this.#depth = depth;
  }

  readAll(): void {
    this.#readList();
    if (this.#at < this.#text.length || this.#documents.length > 0) throw new Unclear();
  }

  /** Commands until the end, or until a `)` that closes more than was opened here. */
  #readList(): void {
    let words: Word[] = [];
    let writes = false;
    const end = (): void => {
      this.#add(words, writes);
      words = [];
      writes = false;
    };
    for (;;) {
      this.#skipBlanks();
      const char = this.#text.charAt(this.#at);
      if (char === "" || char === ")") return end();
      if (char === "(") {
        // A subshell begins where a command may; `name()` defines a function.
        if (!words.every(({ text, quoted }) => !quoted && openers.has(text))) throw new Unclear();
        if (this.#text.charAt(this.#at + 1) === "(") throw new Unclear();
        this.#at += 1;
        this.#readList();
        this.#expect(")");
        words = [];
        // What follows may only end it, or say where its output goes.
        continue;
      }
      if (char === "\n") {
        this.#at += 1;
        end();
        this.#readDocuments();
        continue;
      }
      if (char === ";") {
        if (this.#text.charAt(this.#at + 1) === ";") throw new Unclear();
        this.#at += 1;
        end();
        continue;
      }
      if (char === "&" && this.#text.charAt(this.#at + 1) !== ">") {
        this.#at += this.#text.charAt(this.#at + 1) === "&" ? 2 : 1;
        end();
        continue;
      }
      if (char === "|") {
        const next = this.#text.charAt(this.#at + 1);
        this.#at += next === "|" || next === "&" ? 2 : 1;
        end();
        continue;
      }
      const redirection = /^(?:\d*|&)(?:<<<|<<-?|>>|>\||>&|<&|<>|<(?!\()|>(?!\())/.exec(
        this.#text.slice(this.#at, this.#at + 8),
      );
      if (redirection !== null) {
        this.#at += redirection[0].length;
        writes = this.#redirect(redirection[0].replace(/^[\d&]+(?=[<>])/, "")) || writes;
        continue;
      }
      words.push(this.#readWord());
    }
  }

  /** Whether it writes to a file. */
  #redirect(operator: string): boolean {
    this.#skipBlanks();
    if (operator === "<<" || operator === "<<-") {
      const { text, quoted } = this.#readWord();
      if (text === "" || text.includes(UNKNOWN)) throw new Unclear();
      this.#documents.push({ end: text, literal: quoted, indented: operator === "<<-" });
      return false;
    }
    const { text } = this.#readWord();
    if (text === "") throw new Unclear();
    if (operator === "<<<" || operator === "<") return false;
    if (operator === ">&" || operator === "<&") return !/^(?:\d+|-)$/.test(text);
    return !["/dev/null", "/dev/stdout", "/dev/stderr"].includes(text);
  }

  #readDocuments(): void {
    for (const { end, literal, indented } of this.#documents.splice(0)) {
      for (;;) {
        if (this.#at >= this.#text.length) throw new Unclear();
        const newline = this.#text.indexOf("\n", this.#at);
        const stop = newline < 0 ? this.#text.length : newline;
        const line = this.#text.slice(this.#at, stop);
        this.#at = newline < 0 ? stop : stop + 1;
        if ((indented ? line.replace(/^\t+/, "") : line) === end) break;
        // The shell runs what is substituted in it.
        if (!literal && /\$\(|`/.test(line)) throw new Unclear();
      }
    }
  }

  #add(all: readonly Word[], writes: boolean): void {
    let words = all;
    while (words[0] !== undefined && !words[0].quoted && openers.has(words[0].text)) words = words.slice(1);
    const first = words[0];
    if (first === undefined) {
      // `> file` alone empties the file.
      if (writes) this.#commands.push({ words: [], variables: [], writes });
      return;
    }
    if (!first.quoted) {
      if (strange.has(first.text)) throw new Unclear();
      if (closers.has(first.text)) {
        if (words.length > 1) throw new Unclear();
        if (writes) this.#commands.push({ words: [], variables: [], writes });
        return;
      }
      if (first.text === "for") {
        if (words[2] !== undefined && words[2].text !== "in") throw new Unclear();
        return;
      }
    }
    const isVariable = ({ text }: Word): boolean => /^[A-Za-z_]\w*\+?=/.test(text);
    const start = words.findIndex((word) => !isVariable(word));
    const split = start < 0 ? words.length : start;
    const textOf = ({ text }: Word): string => text;
    this.#commands.push({
      variables: words.slice(0, split).map(textOf),
      words: words.slice(split).map(textOf),
      writes,
    });
  }

  #skipBlanks(): void {
    for (;;) {
      const char = this.#text.charAt(this.#at);
      if (char === " " || char === "\t" || char === "\r") this.#at += 1;
      else if (char === "\\" && this.#text.charAt(this.#at + 1) === "\n") this.#at += 2;
      else if (char === "#") {
        const newline = this.#text.indexOf("\n", this.#at);
        this.#at = newline < 0 ? this.#text.length : newline;
      } else return;
    }
  }

  #readWord(): Word {
    let text = "";
    let quoted = false;
    const start = this.#at;
    for (;;) {
      const char = this.#text.charAt(this.#at);
      if (char === "" || /[\s;&|()]/.test(char)) break;
      if ((char === "<" || char === ">") && this.#text.charAt(this.#at + 1) === "(") {
        this.#at += 1;
        this.#substitute();
        text += UNKNOWN;
      } else if (char === "<" || char === ">") break;
      else if (char === "'") {
        text += this.#until("'");
        quoted = true;
      } else if (char === '"') {
        text += this.#readDoubleQuotes();
        quoted = true;
      } else if (char === "\\") {
        const next = this.#text.charAt(this.#at + 1);
        if (next === "") throw new Unclear();
        this.#at += 2;
        if (next !== "\n") text += next;
        quoted = true;
      } else if (char === "$") text += this.#readDollar();
      else if (char === "`") text += this.#readBackquotes();
      else {
        this.#at += 1;
        text += /[*?[\]{}]/.test(char) && !this.#isBrace(start) ? UNKNOWN : char;
      }
    }
    if (this.#at === start) throw new Unclear();
    return { text, quoted };
  }

  /** By themselves braces group commands, `[` tests, and `{}` is what `find` replaces: none of them is a wildcard. */
  #isBrace(start: number): boolean {
    const word = /^(?:\{\}|[{}[\]])(?=[\s;&|()]|$)/.exec(this.#text.slice(start, start + 3));
    return word !== null;
  }

  #readDoubleQuotes(): string {
    let text = "";
    this.#at += 1;
    for (;;) {
      const char = this.#text.charAt(this.#at);
      if (char === "") throw new Unclear();
      if (char === '"') {
        this.#at += 1;
        return text;
      }
      if (char === "\\") {
        const next = this.#text.charAt(this.#at + 1);
        text += /["\\$`]/.test(next) ? next : next === "\n" ? "" : char + next;
        this.#at += 2;
      } else if (char === "$") text += this.#readDollar();
      else if (char === "`") text += this.#readBackquotes();
      else {
        text += char;
        this.#at += 1;
      }
    }
  }

  #readDollar(): string {
    const next = this.#text.charAt(this.#at + 1);
    if (next === "(") {
      this.#at += 1;
      // `$((` counts; what it would run inside is not looked for.
      if (this.#text.charAt(this.#at + 1) === "(") throw new Unclear();
      this.#substitute();
      return UNKNOWN;
    }
    if (next === "{") {
      const inside = /^\$\{[#!]?\w+(?:[:#%/^,@+=?~-][^$`(){}"'\\]*)?\}/.exec(this.#text.slice(this.#at));
      if (inside === null) throw new Unclear();
      this.#at += inside[0].length;
      return UNKNOWN;
    }
    if (next === "'") {
      // Escapes of its own: nobody needs them to be plain.
      throw new Unclear();
    }
    if (next === '"') {
      this.#at += 1;
      return this.#readDoubleQuotes();
    }
    const name = /^\$(?:[A-Za-z_]\w*|[0-9@*#?!$-])/.exec(this.#text.slice(this.#at, this.#at + 100));
    if (name === null) {
      this.#at += 1;
      return "$";
    }
    this.#at += name[0].length;
    return UNKNOWN;
  }

  /** From `(` to its `)`. */
  #substitute(): void {
    this.#at += 1;
    const inner = new Reader(this.#text.slice(this.#at), this.#commands, this.#depth + 1);
    inner.#readList();
    if (inner.#documents.length > 0) throw new Unclear();
    this.#at += inner.#at;
    this.#expect(")");
  }

  #readBackquotes(): string {
    const inside = this.#until("`");
    if (inside.includes("\\")) throw new Unclear();
    new Reader(inside, this.#commands, this.#depth + 1).readAll();
    return UNKNOWN;
  }

  /** What stands between the quote here and the next. */
  #until(quote: string): string {
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) throw new Unclear();
    const text = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return text;
  }

  #expect(char: string): void {
    if (this.#text.charAt(this.#at) !== char) throw new Unclear();
    this.#at += 1;
  }
}
