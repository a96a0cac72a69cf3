// The directory a command is to run in.
import { joinPath, toRelativePath } from "../paths.ts";
import { toFileError } from "./file-error.ts";
import { locate, type LocateOptions } from "./locate.ts";

/** Its path in the sandbox, all links resolved. Throws what is wrong with it: missing, no directory, or outside. */
export async function findDirectory(
  asked: string,
  { location, roots }: Pick<LocateOptions, "location"> & { readonly roots: readonly [string, ...string[]] },
): Promise<string> {
  const relative = toRelativePath(asked, roots);
  if (relative === "") return roots[0];
  try {
    return await locate(relative, { location, roots, asked }, async ({ parent, name, path }) => {
      await (await parent.enter(name)).close();
      return joinPath(roots[0], path);
    });
  } catch (error) {
    throw toFileError(error, asked);
  }
}
