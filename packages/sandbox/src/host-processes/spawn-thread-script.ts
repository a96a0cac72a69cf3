// What the thread runs that starts processes, and what is said to it and by it.

/** To the thread. */
export type ThreadRequest = { readonly id: number } & (
  | {
      readonly do: "start";
      readonly file: string;
      readonly args: readonly string[];
      readonly cwd: string;
      readonly env: Readonly<Record<string, string>>;
      readonly takesInput: boolean;
      /** Set to 1 when the process has been waited for. */
      readonly reaped: Int32Array;
    }
  /** What has been taken of the output, so that more may come. */
  | { readonly do: "taken"; readonly stream: OutputName; readonly bytes: number }
  | { readonly do: "close"; readonly stream: OutputName | "stdin" }
  | { readonly do: "write"; readonly bytes: Uint8Array }
  | { readonly do: "end" }
);

/** By the thread. An `error` before `started` is why it could not be started. */
export type ThreadAnswer = { readonly id: number } & (
  | { readonly told: "started"; readonly pid: number; readonly startTime: number | undefined }
  | { readonly told: "error"; readonly error: Error }
  | { readonly told: "exit"; readonly code: number | null; readonly signal: NodeJS.Signals | null }
  | { readonly told: "output"; readonly stream: OutputName; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly told: "closed"; readonly stream: OutputName | "stdin" }
  | { readonly told: "written"; readonly error?: Error }
);

export type OutputName = "stdout" | "stderr";

/** So much of a stream may be on its way; then the pipe fills, and the command waits. */
const mostUntaken = 256 * 1024;

/** In so many turns of the event loop a pipe that holds all a command has printed is read, and closed if nobody else has it. */
const turnsToRead = 6;

/** Plain text, not a module of its own: it starts wherever this package was bundled to. */
export const spawnThreadScript: string = `
"use strict";
const { spawn } = require("node:child_process");
const { readFileSync } = require("node:fs");
const { parentPort } = require("node:worker_threads");
const running = new Map();
const tell = (answer, transfer) => parentPort.postMessage(answer, transfer);

// Here it is not waited for yet: nowhere else is it sure to be found still.
function startTimeOf(pid) {
  try {
    const stat = readFileSync("/proc/" + pid + "/stat", "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}

function start({ id, file, args, cwd, env, takesInput, reaped }) {
  let child;
  try {
    child = spawn(file, args, { cwd, env, detached: true, stdio: [takesInput ? "pipe" : "ignore", "pipe", "pipe"] });
  } catch (error) {
    return tell({ id, told: "error", error });
  }
  child.on("error", (error) => tell({ id, told: "error", error }));
  if (child.pid === undefined) return;
  tell({ id, told: "started", pid: child.pid, startTime: startTimeOf(child.pid) });
  const process = { child, untaken: { stdout: 0, stderr: 0 } };
  running.set(id, process);
  let left = takesInput ? 4 : 3;
  const less = () => --left === 0 && running.delete(id);
  child.once("exit", (code, signal) => {
    Atomics.store(reaped, 0, 1);
    // What it printed is told before: the listener does not wait long for more.
    const tellExit = (turns) => {
      const open = [child.stdout, child.stderr].filter((stream) => !stream.closed);
      if (turns > 0 && open.length > 0) {
        setImmediate(tellExit, turns - 1);
      } else if (open.some((stream) => stream.isPaused())) {
        process.onResume = () => {
          process.onResume = undefined;
          setImmediate(tellExit, ${turnsToRead});
        };
      } else {
        tell({ id, told: "exit", code, signal });
        less();
      }
    };
    tellExit(${turnsToRead});
  });
  for (const stream of ["stdout", "stderr"]) {
    child[stream].on("data", (data) => {
      const bytes = new Uint8Array(data);
      process.untaken[stream] += bytes.length;
      if (process.untaken[stream] > ${mostUntaken}) child[stream].pause();
      tell({ id, told: "output", stream, bytes }, [bytes.buffer]);
    });
  }
  for (const stream of ["stdin", "stdout", "stderr"]) {
    if (child[stream] === null) continue;
    child[stream].on("error", () => {});
    child[stream].once("close", () => {
      tell({ id, told: "closed", stream });
      less();
    });
  }
}

parentPort.on("message", (request) => {
  const { id } = request;
  if (request.do === "start") return start(request);
  const process = running.get(id);
  if (process === undefined) return request.do === "write" && tell({ id, told: "written", error: new Error("closed") });
  const { child, untaken } = process;
  if (request.do === "taken") {
    untaken[request.stream] -= request.bytes;
    if (untaken[request.stream] > ${mostUntaken}) return;
    child[request.stream].resume();
    process.onResume?.();
  } else if (request.do === "write") {
    child.stdin.write(request.bytes, (error) => tell({ id, told: "written", ...(error && { error }) }));
  } else if (request.do === "end") child.stdin.end();
  else {
    child[request.stream].destroy();
    process.onResume?.();
  }
});
`;
