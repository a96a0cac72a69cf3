import { secretNames } from "@stigmer/config";
import type { CommandIo } from "../command-io.ts";
import { createMask, plainText } from "./plain-text.ts";

const MOST = 10;
/** Names of variables that hold what must not be shown, whoever they belong to. */
const SECRET_NAME = /(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$/i;
/** Keys by their look, wherever they come from. */
const SECRET_LOOK =
  /\b(?:stk_|sk-|xox[a-z]-|gh[a-z]_|eyJ)[\w.-]{8,}|(?<=\bBearer )\S+|(?<=:\/\/[^\s:/@]*:)[^\s/@]+(?=@)/g;

/** What lies behind an error, one cause a line, then where it came from; secrets are struck out. */
export function showCauses(error: unknown, env: CommandIo["env"]): string {
  const known = new Set<string>(secretNames);
  const secrets = Object.entries(env).flatMap(([name, value]) =>
    value && (known.has(name) || SECRET_NAME.test(name)) ? [value] : [],
  );
  const mask = createMask(secrets);
  const chain = causesOf(error);
  const lines = chain.slice(1).map((cause) => `Caused by ${describe(cause)}`);
  const stack = chain.findLast((cause): cause is Error => cause instanceof Error && cause.stack !== undefined)?.stack;
  const frames = stack?.split("\n").filter((line) => /^ +at /.test(line)) ?? [];
  const text = [...lines, ...frames].map((line) => `${line}\n`).join("");
  return plainText(mask(text).replace(SECRET_LOOK, "********"));
}

/** The error, its cause, that one's cause …; of several at once each. A chain that bites its tail ends there. */
function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  const visit = (each: unknown): void => {
    if (each === undefined || each === null || chain.includes(each) || chain.length === MOST) return;
    chain.push(each);
    if (each instanceof AggregateError) for (const inner of each.errors) visit(inner);
    visit((each as { cause?: unknown }).cause);
  };
  visit(error);
  return chain;
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { code } = cause as { code?: unknown };
  return `${cause.name}${code === undefined ? "" : ` (${String(code)})`}: ${cause.message}`;
}
