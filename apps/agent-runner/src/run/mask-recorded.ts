import type { SecretMask } from "./mask-secrets.ts";

/**
 * A tool's result as the agent writes it down (the length of a type's name, the name, the value) without the secrets in it. Of
 * JSON only what is a string value is changed, so that what it says about its own form (keys, LangChain's class names) can be
 * read back, whatever the secret is.
 */
export function maskRecorded(result: Uint8Array, mask: SecretMask): Uint8Array {
  const start = 1 + (result[0] ?? 0);
  const type = new TextDecoder().decode(result.subarray(1, start));
  const value = type === "json" ? parseJson(result.subarray(start)) : undefined;
  if (value === undefined) return Buffer.concat([result.subarray(0, start), mask.applyToBytes(result.subarray(start))]);
  const masked = JSON.stringify(maskValue(value, mask.apply));
  if (masked === JSON.stringify(value)) return result;
  return Buffer.concat([result.subarray(0, start), Buffer.from(masked)]);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return undefined;
  }
}

/** What of a LangChain object in JSON says which class it is of. */
const CLASS_KEYS = new Set(["lc", "type", "id"]);

function maskValue(value: unknown, apply: (text: string) => string): unknown {
  if (typeof value === "string") return apply(value);
  if (Array.isArray(value)) return value.map((item) => maskValue(item, apply));
  if (typeof value !== "object" || value === null) return value;
  const isClass = "lc" in value && "kwargs" in value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      isClass && CLASS_KEYS.has(key) ? inner : maskValue(inner, apply),
    ]),
  );
}
