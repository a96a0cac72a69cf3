// What the scripts tell of a failure becomes an error with an errno, and with it the error of the port.
import { toFileError } from "../host-files/file-error.ts";
import type { SandboxError } from "../errors.ts";

/** The C library's words, GNU's and musl's. */
const words: readonly [RegExp, string][] = [
  [/No such file or directory/, "ENOENT"],
  [/Not a directory/, "ENOTDIR"],
  [/Is a directory/, "EISDIR"],
  [/Permission denied/, "EACCES"],
  [/Operation not permitted/, "EPERM"],
  [/Read-only file system/, "EROFS"],
  [/No space left on device/, "ENOSPC"],
  [/quota exceeded/i, "EDQUOT"],
  [/File ?name too long/i, "ENAMETOOLONG"],
  [/Too many levels of symbolic links|Symbolic link loop/, "ELOOP"],
  [/Invalid argument/, "EINVAL"],
];

/** A line of `fail` (`! ENOENT`) or of `fail_with` (`? mv: cannot …: No space left on device`). */
export function toScriptError(line: string, asked: string): SandboxError {
  const said = line.slice(2);
  const code = line.startsWith("! ") ? said : words.find(([pattern]) => pattern.test(said))?.[1];
  return toFileError(Object.assign(new Error(said), code === undefined ? {} : { code }), asked);
}

export const isFailure = (line: string): boolean => line.startsWith("! ") || line.startsWith("? ");
