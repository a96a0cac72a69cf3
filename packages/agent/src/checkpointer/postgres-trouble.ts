import { setTimeout as sleep } from "node:timers/promises";
import { AgentError } from "../errors.ts";

/** A database as messages may name it. */
export interface PostgresPlace {
  /** `host:port/database`. */
  readonly name: string;
  readonly password: string;
}

/** Reads where a URL leads. Throws `AgentError` without showing any of a URL that can't be read: it may hold a password. */
export function placeOf(url: string): PostgresPlace {
  const read = URL.canParse(url) ? new URL(url) : undefined;
  if (read === undefined || !/^postgres(ql)?:$/.test(read.protocol)) {
    throw new AgentError(
      "checkpoint",
      "Cannot keep checkpoints in Postgres: the URL can't be read. It looks like postgres://user:password@host:5432/database; characters such as @ and / in the password are written as %40 and %2F.",
    );
  }
  const { hostname, port, pathname, username, searchParams } = read;
  const database = decode(pathname.slice(1)) || decode(username) || "postgres";
  const password = decode(read.password) || (searchParams.get("password") ?? "");
  return { name: `${hostname || "localhost"}:${port || "5432"}/${database}`, password };
}

/** What went wrong at the database, in our words. */
export function troubleAt(place: PostgresPlace, cause: unknown): AgentError {
  if (AgentError.is(cause)) return cause;
  const reason = withoutPassword(reasonOf(cause), place.password).replaceAll(/\s+/g, " ").replace(/\.$/, "");
  const message = `Cannot use the checkpoint database ${place.name}: ${reason}. ${adviceFor(cause)}`;
  return new AgentError("checkpoint", message, place.password === "" ? { cause } : undefined);
}

export interface PatienceOptions {
  /** Milliseconds for which a database that is away is waited for. */
  readonly patienceMs: number;
}

/** Does `work` again, as often as it takes, while the database is away. All that a checkpointer does may be done twice. */
export async function withPatience<T>(work: () => Promise<T>, { patienceMs }: PatienceOptions): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (let pauseMs = 50; ; pauseMs = Math.min(2 * pauseMs, 2_000)) {
    try {
      return await work();
    } catch (error) {
      if (!isAway(error) || performance.now() + pauseMs > deadline) throw error;
      await sleep(pauseMs);
    }
  }
}

/** Whether the connection is at fault and not what was asked of the database. */
function isAway(error: unknown): boolean {
  return causesOf(error).some(({ code, message }) => {
    // 08: connection exception. 57P01 to 57P03: shut down, crashed, starting. 53300: too many clients for the moment. 25P03: it was
    // silent for too long amid a transaction.
    if (/^(08|57P0[123]$|53300$|25P03$|ECONN|EPIPE$|ETIMEDOUT$|EHOST|ENET|EAI_AGAIN$)/.test(String(code))) return true;
    return /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/.test(
      String(message),
    );
  });
}

function adviceFor(error: unknown): string {
  const codes = causesOf(error).map(({ code }) => String(code));
  if (codes.some((code) => code.startsWith("28"))) return "Check the user and the password in the URL.";
  if (codes.includes("3D000")) return "Create the database, or correct its name in the URL.";
  if (codes.includes("42501")) return "Give the user the right to create and to change tables there.";
  if (codes.includes("ENOTFOUND") || isAway(error)) return "Check the address, and that the server is running.";
  return "Check the server's log.";
}

function reasonOf(error: unknown): string {
  // A host with several addresses fails with an error for each, and says nothing itself.
  const said = causesOf(error).find(({ message }) => typeof message === "string" && message !== "");
  return said === undefined ? String(error) : String(said["message"]);
}

/** The error, its causes, and the errors that it gathers. */
function causesOf(error: unknown, depth = 0): Record<string, unknown>[] {
  if (typeof error !== "object" || error === null || depth > 5) return [];
  const link = error as Record<string, unknown>;
  const gathered = Array.isArray(link["errors"]) ? link["errors"] : [];
  return [link, ...[link["cause"], ...gathered].flatMap((each) => causesOf(each, depth + 1))];
}

function withoutPassword(text: string, password: string): string {
  return password === "" ? text : text.replaceAll(password, "********");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
