// A server's process, as the MCP SDK speaks to it. The SDK's own stdio transport ends the process that it started and nothing
// below that, and leaves it running when this process is killed: here a sandbox's process host sees to both.
import type { Sandbox, SandboxProcess } from "@stigmer/sandbox";
import { ReadBuffer, serializeMessage } from "@modelcontextprotocol/sdk/shared/stdio.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";

/** What the end of a server's standard error says goes into errors. */
const keptOutputBytes = 16 * 1024;
/** For a server to end by itself once its input has, as the protocol asks it to; and again once it is told to. */
const graceMs = 2_000;
const termGraceMs = 1_000;
/** Between a pipe that is closed and the news that its process is gone. */
const endNoticeMs = 1_000;

export interface ProcessTransportOptions {
  /** Disposed of when the transport ends. */
  readonly host: Pick<Sandbox, "spawn" | "dispose">;
  /** Shell code that becomes the server. */
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  /** Also to be ended with it. */
  readonly onEnd?: () => Promise<void>;
}

export interface ProcessEnd {
  /** Undefined while it runs, or when it never did. */
  readonly exitCode?: number;
  /** The end of what it said on standard error. */
  readonly stderr: string;
  /** The first line on standard output that is no message of the protocol. */
  readonly noise?: string;
}

export interface ProcessTransport extends Transport {
  /** How the process stands. One whose end is at hand is waited for. */
  state(options: { readonly ending: boolean }): Promise<ProcessEnd>;
}

export function createProcessTransport(options: ProcessTransportOptions): ProcessTransport {
  const { host, command, env, onEnd } = options;
  const input = new ReadBuffer();
  let process: SandboxProcess | undefined;
  let exitCode: number | undefined;
  let noise: string | undefined;
  let stderr: string | undefined;
  let ending: Promise<void> | undefined;

  const read = (text: string): void => {
    try {
      input.append(Buffer.from(text));
    } catch (error) {
      transport.onerror?.(error as Error);
      void transport.close();
      return;
    }
    for (;;) {
      try {
        const message = input.readMessage();
        if (message === null) return;
        transport.onmessage?.(message);
      } catch (error) {
        // Some servers print their log there. What comes after it may be understood.
        noise ??= text.trim().split("\n")[0]?.slice(0, 300);
        transport.onerror?.(error as Error);
      }
    }
  };

  const end = async (): Promise<void> => {
    if (process?.running === true) {
      await process.closeStdin().catch(() => {});
      if ((await process.wait({ timeoutMs: graceMs })) === undefined) {
        await process.kill("SIGTERM");
        await process.wait({ timeoutMs: termGraceMs });
      }
    }
    stderr ??= await readStderr();
    // Takes all that it started with it, wherever that went.
    await host.dispose();
    await onEnd?.();
    input.clear();
    transport.onclose?.();
  };

  const readStderr = async (): Promise<string> => (await process?.output())?.stderr.trim() ?? "";

  const transport: ProcessTransport = {
    async start() {
      const started = await host.spawn(command, { env, maxOutputBytes: keptOutputBytes, onStdout: read });
      process = started;
      const over = async (): Promise<void> => {
        const result = await started.wait();
        exitCode = result.exitCode;
        await transport.close();
      };
      over().catch((error: unknown) => transport.onerror?.(error as Error));
    },
    async send(message) {
      if (process === undefined || ending !== undefined) throw new Error("The server's process has ended.");
      await process.write(serializeMessage(message));
    },
    close() {
      ending ??= end();
      return ending;
    },
    async state({ ending: expected }) {
      if (expected) exitCode ??= (await process?.wait({ timeoutMs: endNoticeMs }))?.exitCode;
      return { exitCode, noise, stderr: stderr ?? (await readStderr()) };
    },
  };
  return transport;
}
