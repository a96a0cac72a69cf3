// What a path means, before any file system is asked. The same for every backend.
import { SandboxError } from "./errors.ts";

/**
 * The path relative to the root, normalised, `""` for the root itself. `roots` are the absolute names the root goes by;
 * an absolute path under none of them is read as if the root were `/`. Throws `outside-root` and `invalid-argument`.
 */
export function toRelativePath(path: string, roots: readonly string[]): string {
  if (typeof path !== "string" || path.includes("\0")) {
    throw new SandboxError("invalid-argument", `Expected a path without NUL characters, got ${JSON.stringify(path)}.`, {
      path: String(path),
    });
  }
  // Cut the root off before `..` is worked out: `<root>/../x` is a way out, not `<root>/<parent>/x`.
  const root = roots.find((name) => path === name || path.startsWith(name === "/" ? name : `${name}/`));
  const parts: string[] = [];
  for (const part of (root === undefined ? path : path.slice(root.length)).split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw outsideRoot(path);
  }
  return parts.join("/");
}

/** `name` under `directory`, either of which may be `""`: the root, or the directory itself. */
export function joinPath(directory: string, name: string): string {
  if (name === "") return directory;
  return directory === "" || directory.endsWith("/") ? `${directory}${name}` : `${directory}/${name}`;
}

export function outsideRoot(path: string): SandboxError {
  return new SandboxError(
    "outside-root",
    `${JSON.stringify(path)} leads out of the sandbox. Use a path under its root.`,
    {
      path,
    },
  );
}
