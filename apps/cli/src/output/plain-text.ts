import { stripVTControlCharacters } from "node:util";

/**
 * Makes text that somebody else wrote harmless for a terminal: escape sequences go, other control characters are shown
 * as pictures, so that a tool's output can neither move the cursor nor hide itself. Line breaks and tabs stay.
 */
export function plainText(text: string): string {
  return (
    stripVTControlCharacters(text)
      .replaceAll("\r\n", "\n")
      // oxlint-disable-next-line no-control-regex -- these are what it looks for
      .replace(/[\u0000-\u0008\u000b-\u001f]/g, (control) => String.fromCodePoint(0x2400 + control.charCodeAt(0)))
      // C1 controls, and the marks that turn the direction of what follows.
      .replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\u2421")
  );
}

/** As `plainText`, on one line of at most `most` characters. */
export function oneLine(text: string, most = 100): string {
  const line = plainText(text).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** Replaces values that must not be shown, longest first, so that none is left in part. */
export function createMask(secrets: readonly string[]): (text: string) => string {
  // Hiding something as short as `1` would hide more than it protects.
  const values = secrets.filter((secret) => secret.length >= 4).sort((a, b) => b.length - a.length);
  return (text) => values.reduce((masked, secret) => masked.replaceAll(secret, "********"), text);
}
