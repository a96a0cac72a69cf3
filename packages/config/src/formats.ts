import { isIP } from "node:net";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Mode } from "./variables.ts";

/** How the text of a variable is read. */
export type Format =
  /** Text, without the white space around it. */
  | { readonly type: "text" }
  /** What goes into a header of a request, and so is written in ASCII without spaces. */
  | { readonly type: "token" }
  /** Text, exactly as it is. */
  | { readonly type: "verbatim" }
  | { readonly type: "choice"; readonly values: readonly string[]; readonly anyCase?: boolean }
  | { readonly type: "choice-by-mode"; readonly local: readonly string[]; readonly cloud: readonly string[] }
  /** Some of these, separated by commas. */
  | { readonly type: "choices-by-mode"; readonly local: readonly string[]; readonly cloud: readonly string[] }
  | { readonly type: "integer"; readonly min: number; readonly max?: number }
  | { readonly type: "number"; readonly min: number; readonly max: number }
  | { readonly type: "address"; readonly example: string }
  /** An address, or the URL of one: without a path. */
  | { readonly type: "endpoint"; readonly example: string }
  | { readonly type: "url"; readonly example: string }
  /** `~/` stands for the user's home folder. Otherwise kept as written. */
  | { readonly type: "path" }
  | { readonly type: "database" }
  | { readonly type: "network" }
  /** Of web pages, as browsers send them. */
  | { readonly type: "origins" }
  | { readonly type: "key"; readonly bytes: number };

/** A Postgres database. The URL may carry a password: treat it as a secret. */
export interface PostgresLocation {
  readonly type: "postgres";
  readonly url: string;
}

export type DatabaseLocation = { readonly type: "sqlite"; readonly file: string } | PostgresLocation;

/** What the commands in a sandbox may reach over the network, in the words of `@stigmer/sandbox`. */
export type NetworkPolicy =
  | { readonly type: "off" }
  | { readonly type: "full" }
  | { readonly type: "allow-list"; readonly domains: readonly string[] };

/** What a variable of this format is read as. */
export type ValueOf<F, M extends Mode> = F extends { type: "integer" | "number" }
  ? number
  : F extends { type: "choice"; values: readonly (infer V)[] }
    ? V
    : F extends { type: "choice-by-mode" | "choices-by-mode" } & Readonly<Record<M, readonly (infer V)[]>>
      ? F extends { type: "choices-by-mode" }
        ? readonly V[]
        : V
      : F extends { type: "database" }
        ? M extends "cloud"
          ? PostgresLocation
          : DatabaseLocation
        : F extends { type: "network" }
          ? NetworkPolicy
          : F extends { type: "origins" }
            ? readonly string[]
            : F extends { type: "key" }
              ? Uint8Array
              : string;

/** What reading a value depends on beside its text. */
export interface FormatContext {
  readonly mode: Mode;
  /** What `~` stands for. Default: the user's home folder, asked for only when a `~` occurs. */
  readonly home?: string;
}

/** What is expected, as a phrase that follows "expected". */
export function describeFormat(format: Format, mode?: Mode): string {
  switch (format.type) {
    case "text":
    case "verbatim":
      return "text";
    case "token":
      return "a whole key, of letters, digits and signs of ASCII without spaces";
    case "choice":
      return format.values.join(", ").replace(/, ([^,]+)$/, " or $1");
    case "choice-by-mode":
      return mode === undefined
        ? `${format.local.join(", ")} in local mode; ${format.cloud.join(", ")} in cloud mode`
        : `${format[mode].join(", ").replace(/, ([^,]+)$/, " or $1")} in ${mode} mode`;
    case "choices-by-mode":
      return `${describeFormat({ ...format, type: "choice-by-mode" }, mode)}, separated by commas`;
    case "integer":
      return format.max === undefined
        ? `a whole number, at least ${format.min}`
        : `a whole number from ${format.min} to ${format.max}`;
    case "number":
      return `a number from ${format.min} to ${format.max}`;
    case "address":
      return `host:port without a scheme, for example ${format.example}`;
    case "endpoint":
      return `host:port or https://host:port, for example ${format.example}`;
    case "url":
      return `an http:// or https:// URL, for example ${format.example}`;
    case "path":
      return "a path";
    case "database":
      return mode === "cloud" ? "a postgres:// URL" : "the path of a SQLite file or a postgres:// URL";
    case "network":
      return "off, full, or domains separated by commas, for example pypi.org,*.npmjs.org";
    case "origins":
      return "origins separated by commas, each scheme, host and port alone, for example https://app.example.com";
    case "key":
      return `${format.bytes} bytes in base64 or hex, for example the output of: openssl rand -base64 ${format.bytes}`;
  }
}

/** A schema from the variable's text to its value. */
export function schemaOf(format: Format, context: FormatContext): z.ZodType<unknown, string> {
  const trimmed = z.string().trim();
  switch (format.type) {
    case "verbatim":
      return z.string();
    case "text":
      return trimmed;
    case "token":
      return trimmed.regex(/^[!-~]*$/);
    case "choice":
      return format.anyCase ? trimmed.toUpperCase().pipe(z.enum(format.values)) : trimmed.pipe(z.enum(format.values));
    case "choice-by-mode":
      return trimmed.pipe(z.enum(format[context.mode]));
    case "choices-by-mode":
      return trimmed.transform(splitList).pipe(z.array(z.enum(format[context.mode])));
    case "integer":
      return trimmed
        .regex(/^\d+$/)
        .transform(Number)
        .pipe(
          z
            .int()
            .min(format.min)
            .max(format.max ?? Number.MAX_SAFE_INTEGER),
        );
    case "number":
      return trimmed
        .regex(/^\d+(\.\d+)?$/)
        .transform(Number)
        .pipe(z.number().min(format.min).max(format.max));
    case "address":
      return trimmed.refine(isAddress);
    case "endpoint":
      return trimmed.transform((text) => text.replace(/\/$/, "")).refine((text) => splitEndpoint(text) !== undefined);
    case "url":
      return trimmed.pipe(z.url({ protocol: /^https?$/ }));
    case "path":
      return trimmed.transform((path) => expandHome(path, context.home));
    case "database":
      return parsed(trimmed, (text) => parseDatabase(text, context));
    case "network":
      return parsed(trimmed, parseNetwork);
    case "origins":
      return parsed(trimmed, parseOrigins);
    case "key":
      return parsed(trimmed, (text) => parseKey(text, format.bytes));
  }
}

/** What stands between the commas of a list. */
export function splitList(text: string): string[] {
  return text.split(",").map((part) => part.trim());
}

/** Host and port of an address, or undefined when it is none. An IPv6 host comes without its brackets. @internal */
export function splitAddress(address: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(address);
  if (match === null) return undefined;
  const [, v6, name, digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535 || (v6 !== undefined && isIP(v6) !== 6)) return undefined;
  return { host: v6 ?? name ?? "", port };
}

/** The same of an endpoint, which may have a scheme, and with `https` no port. */
export function splitEndpoint(endpoint: string): { host: string; port: number; tls: boolean } | undefined {
  const [, scheme, rest = ""] = /^(https?:\/\/)?(.*)$/.exec(endpoint) ?? [];
  const isWhole = scheme !== "https://" || /:\d+$/.test(rest);
  const address = splitAddress(isWhole ? rest : `${rest}:443`);
  return address && { ...address, tls: scheme === "https://" || (scheme === undefined && address.port === 443) };
}

/** Replaces a leading `~` by `home`. */
export function expandHome(path: string, home?: string): string {
  return path === "~" || path.startsWith("~/") ? join(home ?? homedir(), path.slice(1)) : path;
}

function parsed(text: z.ZodType<string, string>, parse: (text: string) => unknown): z.ZodType<unknown, string> {
  return text.transform((value, context) => {
    const result = parse(value);
    if (result !== undefined) return result;
    context.addIssue({ code: "custom" });
    return z.NEVER;
  });
}

function isAddress(text: string): boolean {
  return splitAddress(text) !== undefined;
}

function parseDatabase(text: string, context: FormatContext): DatabaseLocation | undefined {
  if (/^postgres(ql)?:\/\//i.test(text)) return URL.canParse(text) ? { type: "postgres", url: text } : undefined;
  if (context.mode === "cloud") return undefined;
  if (!/^[a-z][a-z0-9+.-]*:/i.test(text)) return { type: "sqlite", file: resolve(expandHome(text, context.home)) };
  try {
    return { type: "sqlite", file: fileURLToPath(text) };
  } catch {
    return undefined;
  }
}

/** Undefined for a text that names no policy. */
export function parseNetwork(text: string): NetworkPolicy | undefined {
  if (text === "off" || text === "full") return { type: text };
  const domains = splitList(text);
  return domains.every((domain) => /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(domain))
    ? { type: "allow-list", domains }
    : undefined;
}

function parseOrigins(text: string): readonly string[] | undefined {
  const origins = splitList(text);
  return origins.every(isOrigin) ? origins : undefined;
}

/** Neither `*` nor `null` is one. Browsers write the host of http and https in lower case, without the default port. */
function isOrigin(text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s*]+$/.test(text) || !URL.canParse(text)) return false;
  return !/^https?:/.test(text) || new URL(text).origin === text;
}

function parseKey(text: string, bytes: number): Uint8Array | undefined {
  // Hex first: its letters are base64's too, and there the length would be another.
  if (text.length === bytes * 2 && /^[0-9a-f]+$/i.test(text)) return Uint8Array.from(Buffer.from(text, "hex"));
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return undefined;
  const key = Uint8Array.from(Buffer.from(text, "base64"));
  return key.length === bytes ? key : undefined;
}
