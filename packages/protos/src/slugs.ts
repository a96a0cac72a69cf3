/**
 * Makes the slug of a name: lower case, spaces and underscores as single hyphens, other characters dropped.
 * Empty when nothing of the name is left, as with a name in another script: then the slug must be given.
 */
export function slugify(name: string): string {
  return name
    .toLowerCase()
    .replace(/[ _]/g, "-")
    .replace(/[^a-z0-9-]/g, "")
    .replace(/-+/g, "-")
    .replace(/^-|-$/g, "");
}

/** Whether a text can be a slug: lower-case letters, digits and single hyphens between them. */
export function isSlug(text: string): boolean {
  return /^[a-z0-9]+(-[a-z0-9]+)*$/.test(text);
}
