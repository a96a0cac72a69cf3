// The one place where Node's file system errors become ours.
import { outsideRoot } from "../paths.ts";
import { SandboxError, type SandboxErrorCode } from "../errors.ts";

const codes: Readonly<Record<string, readonly [SandboxErrorCode, string]>> = {
  ENOENT: ["not-found", "does not exist. Check the path, or list its directory."],
  ENOTDIR: ["not-directory", "is not a directory, or has a file among its parents."],
  EEXIST: ["not-directory", "is there already, and is no directory."],
  ENXIO: ["invalid-argument", "is no regular file: it can't be read to an end."],
  EISDIR: ["is-directory", "is a directory. Name a file in it."],
  EACCES: ["permission", "may not be accessed. Check its permissions and those of its parents."],
  EPERM: ["permission", "may not be changed by this user."],
  EROFS: ["permission", "is on a read-only file system."],
  ENOSPC: ["no-space", "could not be written: the disk is full. Remove something first."],
  EDQUOT: ["no-space", "could not be written: the disk quota is used up. Remove something first."],
  EFBIG: ["no-space", "could not be written: it would exceed the largest file size allowed."],
  ENAMETOOLONG: ["invalid-argument", "has a name that is too long for the file system."],
  EINVAL: ["invalid-argument", "has a name that the file system does not take."],
};

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/** `path` as the caller gave it: where the sandbox lies on the host is left out of the message. */
export function toFileError(error: unknown, path: string): SandboxError {
  if (SandboxError.is(error)) return error;
  const errno = errnoOf(error) ?? "";
  // With every link resolved by hand, the kernel meets one only when it was put there in this very moment.
  if (errno === "ELOOP") return outsideRoot(path);
  const [code, words] = codes[errno] ?? ["backend-error", `could not be accessed (${errno || String(error)}).`];
  return new SandboxError(code, `${JSON.stringify(path)} ${words}`, { path, cause: error });
}
