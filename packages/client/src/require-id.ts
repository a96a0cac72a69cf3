import { ClientError } from "./errors.ts";

/** Proto3 strings are empty, not null: an id that was never set must not become a request for "everything". */
export function requireId(name: string, value: string): string {
  if (value === "") throw new ClientError("invalid-argument", `${name} cannot be empty`);
  return value;
}
