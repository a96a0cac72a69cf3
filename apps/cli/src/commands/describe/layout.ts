import { plainText } from "../../output/plain-text.ts";
import { formatTable } from "../../output/table.ts";

/** A part of a description. Those that have nothing to say are left out. */
export type Section =
  | { readonly fields: Readonly<Record<string, string>> }
  | { readonly title: string; readonly text: string }
  | { readonly title: string; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };

/** Sections below each other, an empty line between two. */
export function layOut(sections: readonly Section[]): string {
  return sections.map(layOutSection).filter(Boolean).join("\n");
}

function layOutSection(section: Section): string {
  if ("fields" in section) {
    const fields = Object.entries(section.fields).filter(([, value]) => value !== "");
    const width = Math.max(0, ...fields.map(([name]) => name.length)) + 2;
    return fields
      .map(([name, value]) => `${`${name}:`.padEnd(width)} ${plainText(value).replace(/\s+/g, " ")}\n`)
      .join("");
  }
  if ("text" in section) return section.text === "" ? "" : `${section.title}:\n${indent(plainText(section.text))}`;
  return section.rows.length === 0 ? "" : `${section.title}:\n${indent(formatTable(section.head, section.rows))}`;
}

function indent(text: string): string {
  return `${text.trimEnd().replace(/^(?=.)/gm, "  ")}\n`;
}

/** The beginning of a long text, and how much of it is left out. */
export function beginning(text: string, most = 8): string {
  const lines = text.trimEnd().split("\n");
  if (lines.length <= most) return lines.join("\n");
  const left = lines.length - most;
  return [...lines.slice(0, most), `… ${left} more line${left === 1 ? "" : "s"}`].join("\n");
}
