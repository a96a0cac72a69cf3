// Loaded only when spans go to a file.
import { type FileHandle, open } from "node:fs/promises";
import { ExportResultCode } from "@opentelemetry/core";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { SpanExporter } from "@opentelemetry/sdk-trace-base";

type Done = Parameters<SpanExporter["export"]>[1];

/**
 * Appends spans to a file, each batch as one line of OTLP JSON, the form that OpenTelemetry's collector reads back. Lines of
 * several processes do not mix: each is one write to the file's end. Throws when the file can't be written.
 */
export async function createFileExporter(file: string, onError: (error: unknown) => void): Promise<SpanExporter> {
  const handle = await openToAppend(file);
  let writing: Promise<void> = Promise.resolve();

  async function append(line: Uint8Array | undefined, before: Promise<void>, done: Done): Promise<void> {
    await before;
    try {
      if (line) await handle.appendFile(Buffer.concat([line, Buffer.from("\n")]));
    } catch (error) {
      onError(error);
      return done({ code: ExportResultCode.FAILED, error: error as Error });
    }
    done({ code: ExportResultCode.SUCCESS });
  }

  return {
    export(spans, done) {
      writing = append(JsonTraceSerializer.serializeRequest(spans), writing, done);
    },
    forceFlush: () => writing,
    async shutdown() {
      await writing;
      await handle.close();
    },
  };
}

async function openToAppend(file: string): Promise<FileHandle> {
  try {
    return await open(file, "a", 0o600);
  } catch (cause) {
    throw new Error(`STIGMER_TRACES_FILE=${file} can't be written (${(cause as Error).message}); name another file`, {
      cause,
    });
  }
}
