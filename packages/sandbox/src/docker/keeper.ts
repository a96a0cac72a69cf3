// This side of the container's main process: what it is asked to do, one thing after the other.
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { SandboxError } from "../errors.ts";
import type { ProcessSignal } from "../sandbox.ts";
import { demultiplex } from "./demultiplex.ts";
import { keeperLine } from "./scripts.ts";

/** It answers within milliseconds, on a busy machine within a second. */
const answerMs = 10_000;

export interface Keeper {
  /** By which the image's shell knows the limit that marks commands. */
  readonly letter: string;
  isOpen(): boolean;
  /** Ends all that carries this mark. Many at once are ended together. Rejects when that could not be done in time. */
  kill(mark: string): Promise<void>;
  /** Sends a signal to all that carry this mark. */
  tell(mark: string, signal: ProcessSignal): Promise<void>;
  tellGroup(leader: number, signal: ProcessSignal): Promise<void>;
  /** Lets go of it. Where nobody else holds it, everything in the container ends. */
  close(): void;
}

export interface KeeperOptions {
  /** The marks of the commands that run or left something running. */
  living(): Iterable<string>;
  /** As in `Marks`. */
  range(): string;
}

export async function createKeeper(socket: Socket, { living, range }: KeeperOptions): Promise<Keeper> {
  const token = randomBytes(6).toString("hex");
  const waiting = new Map<string, (answer: string | undefined) => void>();
  let open = true;
  let asked = 0;
  let printed = "";
  const close = (): void => {
    open = false;
    socket.destroy();
    for (const answer of waiting.values()) answer(undefined);
    waiting.clear();
  };
  const listen = demultiplex((stream, bytes) => {
    if (stream !== "stdout") return;
    const lines = (printed + bytes.toString("latin1")).split("\n");
    printed = lines.pop() ?? "";
    for (const line of lines) {
      const [id = "", said = ""] = line.split(" ");
      waiting.get(id)?.(said);
      waiting.delete(id);
    }
  });
  socket.on("data", listen);
  socket.on("end", close);
  socket.on("close", close);
  socket.on("error", close);
  socket.unref();

  /** Answers undefined when the container ends: then nothing is left to be done. */
  const ask = async (verb: string, ...words: readonly string[]): Promise<string | undefined> => {
    if (!open) return undefined;
    const id = `${token}${asked++}`;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    waiting.set(id, resolve);
    socket.write(`${[verb, id, ...words].join(" ")}\n`);
    const timeout = new AbortController();
    const late = delay(answerMs, "late" as const, { signal: timeout.signal }).catch(() => undefined);
    const answer = await Promise.race([promise, late]);
    timeout.abort();
    if (answer !== "late") return answer;
    waiting.delete(id);
    throw new SandboxError("backend-error", "The container's main process does not answer.");
  };

  let next: { readonly marks: Set<string>; readonly done: Promise<void> } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const kill = (mark: string): Promise<void> => {
    if (next !== undefined) {
      next.marks.add(mark);
      return next.done;
    }
    const marks = new Set([mark]);
    const begin = async (): Promise<void> => {
      // What is asked for from now on waits for the next turn.
      next = undefined;
      const others = [...living()].filter((each) => !marks.has(each));
      await ask("kill", [...marks].join(","), others.join(",") || "-", range());
    };
    const done = last.then(begin, begin);
    last = done;
    next = { marks, done };
    return done;
  };

  // One that runs already doesn't know this for a question, and goes on.
  socket.write(keeperLine);
  const letter = await ask("hello");
  if (letter === undefined || letter === "") {
    close();
    throw new SandboxError(
      "backend-unavailable",
      letter === undefined
        ? "The container ended as it started. The image must have /bin/sh and grep."
        : "The image's /bin/sh can't set the limit by which processes are found. Use one with dash, bash or busybox.",
    );
  }
  return {
    letter,
    isOpen: () => open,
    kill,
    async tell(mark, signal) {
      await ask("tell", signal.slice("SIG".length), mark);
    },
    async tellGroup(leader, signal) {
      await ask("group", signal.slice("SIG".length), String(leader));
    },
    close,
  };
}
