// gRPC by grpcurl, which learns the contract from the server's reflection or from a file of descriptors.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Answer, CallFailure, type Caller, CODES } from "../caller.ts";
import { contractFile } from "../contract.ts";

export interface GrpcurlOptions {
  readonly endpoint: string;
  readonly apiKey: string;
  readonly by: "reflection" | "descriptors";
}

export function openGrpcurl({ endpoint, apiKey, by }: GrpcurlOptions): Caller {
  async function* stream(method: string, request: object): AsyncGenerator<Answer, void, void> {
    const from = by === "descriptors" ? ["-protoset", contractFile] : [];
    const args = ["-plaintext", ...from, "-H", `authorization: Bearer ${apiKey}`, "-format-error", "-d", "@"];
    const child = spawn(programOfGrpcurl(), [...args, endpoint, method], { stdio: "pipe" });
    const ended = once(child, "close");
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(request));
    try {
      let message = "";
      for await (const line of createInterface({ input: child.stdout })) {
        message += line;
        // Indented JSON: only its last line begins with the brace.
        if (line !== "}" && line !== "{}") continue;
        yield JSON.parse(message) as Answer;
        message = "";
      }
      const [exitCode] = (await ended) as [number | null];
      if (exitCode === 0) return;
      const { code, message: text } = JSON.parse(complaint) as { code: number; message: string };
      throw new CallFailure(CODES[code] ?? String(code), text);
    } finally {
      child.kill();
      await ended;
    }
  }
  return {
    call: async (method, request) => {
      const [answer, ...more] = await Array.fromAsync(stream(method, request));
      if (!answer || more.length > 0) throw new Error(`${method} answered ${more.length + (answer ? 1 : 0)} messages.`);
      return answer;
    },
    stream,
    duplex: true,
    close: () => {},
  };
}

/** Throws when there is none: a system test that silently did not run proves nothing. */
export function programOfGrpcurl(): string {
  const program = process.env["STIGMER_TEST_GRPCURL"];
  if (!program) throw new Error("STIGMER_TEST_GRPCURL is not set: it names the grpcurl that this test runs.");
  return program;
}
