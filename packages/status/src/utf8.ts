/** Length in UTF-8 bytes; an unpaired surrogate counts as the replacement character that it is written as. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    if (unit < 0x800) length += 1;
    else if (isHighSurrogate(unit) && isLowSurrogate(text.charCodeAt(at + 1))) {
      length += 2;
      at += 1;
    } else length += 2;
  }
  return length;
}

/** `text` without its first `bytes` bytes; undefined when the cut would fall inside a character or behind the end. */
export function dropUtf8(text: string, bytes: number): string | undefined {
  let left = bytes;
  let at = 0;
  while (left > 0 && at < text.length) {
    const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
    left -= utf8Length(char);
    at += char.length;
  }
  return left === 0 ? text.slice(at) : undefined;
}

/** Whether `text` ends in the first half of a pair, the second half of which the next piece may bring. */
export function endsInHalfPair(text: string): boolean {
  return text !== "" && isHighSurrogate(text.charCodeAt(text.length - 1));
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
