import { ServerError } from "../errors.ts";

/** The origins of web pages, as browsers write them. Throws `ServerError` `bad-origin` for one that no browser would send. */
export function readOrigins(origins: readonly string[]): ReadonlySet<string> {
  for (const origin of origins) {
    if (isOrigin(origin)) continue;
    throw new ServerError(
      "bad-origin",
      `The allowed origin ${JSON.stringify(origin)} is none: write scheme, host and port alone, as https://app.example.com. There is no wildcard.`,
    );
  }
  return new Set(origins);
}

/** `null` is every sandboxed frame and local file; `*` is everybody. Neither is an origin that anyone could be trusted by. */
function isOrigin(text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s*,]+$/.test(text) || !URL.canParse(text)) return false;
  // Browsers leave the default port out and write hosts in lower case. Other schemes (extensions, app shells) have no such form.
  return !/^https?:/.test(text) || new URL(text).origin === text;
}
