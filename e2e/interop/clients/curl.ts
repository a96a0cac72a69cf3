// Connect's JSON by curl, as a shell script sends it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type Answer, CallFailure, type Caller } from "../caller.ts";
import { CONNECT_END, envelope, readEnvelopes } from "./envelopes.ts";

export interface CurlOptions {
  readonly endpoint: string;
  readonly apiKey: string;
  /** Without TLS, HTTP/2 is spoken from the first byte. */
  readonly http: "1.1" | "2";
}

export function openCurl({ endpoint, apiKey, http }: CurlOptions): Caller {
  const argsOf = (method: string, contentType: string): string[] => {
    // Without the last: uploads beyond some size would be asked for first, and wait for the answer.
    const headers = [`content-type: ${contentType}`, `authorization: Bearer ${apiKey}`, "expect:"];
    const protocol = http === "2" ? "--http2-prior-knowledge" : "--http1.1";
    const url = `http://${endpoint}/${method}`;
    return ["-sSN", protocol, ...headers.flatMap((header) => ["-H", header]), "--data-binary", "@-", url];
  };
  return {
    call: async (method, request) => {
      const args = [...argsOf(method, "application/json"), "--write-out", "\n%{http_code} %{http_version}"];
      const printed = Buffer.concat(await Array.fromAsync(run(args, JSON.stringify(request)))).toString();
      const last = printed.lastIndexOf("\n");
      const [status, version] = printed.slice(last + 1).split(" ");
      if (version !== http) throw new Error(`curl spoke HTTP ${version}, and not ${http}.`);
      const body = JSON.parse(printed.slice(0, last)) as Answer;
      if (status === "200") return body;
      throw failureOf(body);
    },
    async *stream(method, request) {
      const body = envelope(Buffer.from(JSON.stringify(request)));
      for await (const { flags, data } of readEnvelopes(run(argsOf(method, "application/connect+json"), body))) {
        const message = JSON.parse(data.toString()) as Answer;
        if (flags !== CONNECT_END) yield message;
        else if (message["error"]) throw failureOf(message["error"] as Answer);
      }
    },
    duplex: http === "2",
    close: () => {},
  };
}

function failureOf({ code, message }: Answer): CallFailure {
  const name = String(code).toUpperCase();
  return new CallFailure(name === "CANCELED" ? "CANCELLED" : name, String(message));
}

/** What the command prints. It is stopped when nobody reads on. */
async function* run(args: readonly string[], input: string | Uint8Array): AsyncGenerator<Buffer, void, void> {
  const child = spawn("curl", args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  // The server may refuse before it has read all.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const [exitCode] = (await ended) as [number | null];
    if (exitCode !== 0) throw new Error(`curl ended with exit code ${exitCode}.`);
  } finally {
    child.kill();
    await ended;
  }
}
