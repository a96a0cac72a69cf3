const MASK = "********";
// Shorter values ("1", "true") are no secrets worth hiding, and masking them would garble every output.
const SHORTEST = 4;

/** Strikes secret values out of text. */
export interface SecretMask {
  /** The text with every secret masked. */
  apply(text: string): string;
  /** The same for a file's content. Without a secret in it, it is the very same bytes. */
  applyToBytes(bytes: Uint8Array): Uint8Array;
  /** The same for text that comes in pieces: what may be the beginning of a secret is held back until more is known. */
  stream(write: (text: string) => void): { push(text: string): void; end(): void };
}

export function maskSecrets(secrets: readonly string[]): SecretMask {
  // Longest first, so that a secret which contains another one is masked whole.
  const hidden = [...new Set(secrets)]
    .filter((secret) => secret.length >= SHORTEST)
    .toSorted((a, b) => b.length - a.length);
  const apply = (text: string): string => hidden.reduce((masked, secret) => masked.replaceAll(secret, MASK), text);

  return {
    apply,
    applyToBytes(bytes) {
      const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (!hidden.some((secret) => content.includes(secret))) return bytes;
      // In Latin-1 each byte is one character, so that what is no text comes through as it was.
      const inLatin1 = maskSecrets(hidden.map((secret) => Buffer.from(secret).toString("latin1")));
      return Buffer.from(inLatin1.apply(content.toString("latin1")), "latin1");
    },
    stream(write) {
      let held = "";
      return {
        push(text) {
          held = apply(held + text);
          const keep = beginningOfSecret(held, hidden);
          if (held.length > keep) write(held.slice(0, held.length - keep));
          held = held.slice(held.length - keep);
        },
        end() {
          if (held !== "") write(held);
          held = "";
        },
      };
    },
  };
}

/** How many characters at the end of `text` are the beginning of a secret. */
function beginningOfSecret(text: string, secrets: readonly string[]): number {
  let longest = 0;
  for (const secret of secrets) {
    for (let length = Math.min(secret.length - 1, text.length); length > longest; length -= 1) {
      if (text.endsWith(secret.slice(0, length))) longest = length;
    }
  }
  return longest;
}
