// For tests of whoever takes skills in: archives that must be refused, and odd ones that must not.
export { buildZip } from "./zip-builder.ts";
export type { ZipEntry } from "./zip-builder.ts";
export { hostileArchives } from "./hostile-archives.ts";
export type { HostileArchive } from "./hostile-archives.ts";
