import type { ExecuteResult, OutputPiece, SandboxProcess, SpawnOptions, WaitOptions } from "@stigmer/sandbox";
import type { SecretMask } from "./mask-secrets.ts";

/** The same process, whose output is read without the secrets in it. */
export function maskProcess(process: SandboxProcess, mask: SecretMask): SandboxProcess {
  const maskResult = (result: ExecuteResult): ExecuteResult => ({
    ...result,
    stdout: mask.apply(result.stdout),
    stderr: mask.apply(result.stderr),
  });
  async function wait(): Promise<ExecuteResult>;
  async function wait(options: WaitOptions): Promise<ExecuteResult | undefined>;
  async function wait(options?: WaitOptions): Promise<ExecuteResult | undefined> {
    const result = options === undefined ? await process.wait() : await process.wait(options);
    return result && maskResult(result);
  }
  return {
    id: process.id,
    command: process.command,
    startedAt: process.startedAt,
    origin: process.origin,
    get running() {
      return process.running;
    },
    async output() {
      const { stdout, stderr, truncated } = await process.output();
      return { stdout: mask.apply(stdout), stderr: mask.apply(stderr), truncated };
    },
    follow: () => maskPieces(process.follow(), mask),
    write: (input) => process.write(input),
    closeStdin: () => process.closeStdin(),
    kill: (signal) => process.kill(signal),
    wait,
  };
}

/** Options of `spawn` whose listeners hear no secret, and how to tell them what was held back. */
export function maskListeners(
  options: SpawnOptions,
  mask: SecretMask,
): { readonly options: SpawnOptions; readonly end: () => void } {
  const stdout = options.onStdout && mask.stream(options.onStdout);
  const stderr = options.onStderr && mask.stream(options.onStderr);
  return {
    options: {
      ...options,
      ...(stdout && { onStdout: stdout.push }),
      ...(stderr && { onStderr: stderr.push }),
    },
    end() {
      stdout?.end();
      stderr?.end();
    },
  };
}

async function* maskPieces(pieces: AsyncIterable<OutputPiece>, mask: SecretMask): AsyncGenerator<OutputPiece> {
  const ready: OutputPiece[] = [];
  let skipped = 0;
  const streams = {
    stdout: mask.stream((text) => ready.push({ stream: "stdout", text, skipped })),
    stderr: mask.stream((text) => ready.push({ stream: "stderr", text, skipped })),
  };
  for await (const piece of pieces) {
    // What was held back can't go on across a gap.
    if (piece.skipped > 0) streams[piece.stream].end();
    ({ skipped } = piece);
    streams[piece.stream].push(piece.text);
    skipped = 0;
    yield* ready.splice(0);
  }
  streams.stdout.end();
  streams.stderr.end();
  yield* ready.splice(0);
}
