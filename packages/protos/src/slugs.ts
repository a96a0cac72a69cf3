/** How many characters a slug has at most: `metadata.slug` in the contract. */
const MAX_LENGTH = 253;

/**
 * Makes the slug of a name: lower case, spaces and underscores as single hyphens, other characters dropped, and cut as
 * `shortenSlug` does. Empty when nothing of the name is left, as with a name in another script: then the slug must be given.
 */
export function slugify(name: string): string {
  return shortenSlug(
    name
      .toLowerCase()
      .replace(/[ _]/g, "-")
      .replace(/[^a-z0-9-]/g, "")
      .replace(/-+/g, "-")
      .replace(/^-|-$/g, ""),
  );
}

/**
 * A slug that leaves room for a suffix of so many characters. What is too long is cut, and ends in a hash of the whole: long
 * names that begin alike are still two, and each has the same slug every time.
 */
export function shortenSlug(slug: string, room = 0): string {
  const length = MAX_LENGTH - room;
  if (slug.length <= length) return slug;
  const hash = hashOf(slug);
  return `${slug.slice(0, length - hash.length - 1).replace(/-$/, "")}-${hash}`;
}

/** Whether a text can be a slug: lower-case letters, digits and single hyphens between them, at most 253. */
export function isSlug(text: string): boolean {
  return text.length <= MAX_LENGTH && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(text);
}

/** FNV-1a of 32 bits: nothing secret, and it runs also in browsers. */
function hashOf(text: string): string {
  let hash = 0x81_1c_9d_c5;
  for (const letter of text) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01_00_01_93);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
