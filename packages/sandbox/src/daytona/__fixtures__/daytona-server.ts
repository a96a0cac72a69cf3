// A Daytona for tests: its REST and toolbox APIs over HTTP, as its SDK speaks them. Commands really run, on this machine and
// without any isolation, as the toolbox's daemon runs them: a shell in a process group of its own that reads the command from
// its input, waited for until nothing holds its output. It can be told to fail in every way that a network service does.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export const apiKey = "test-key";

export type Fault =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly message?: string }
  /** Takes the request and never answers. */
  | "silence"
  /** Does what is asked, and breaks off in the middle of the answer. */
  | "half"
  /** Closes the connection without an answer. */
  | "reset";

export interface FaultRule {
  /** Of `POST /api/sandbox` and the like: those that it fits fail. */
  readonly on: RegExp;
  readonly fault: Fault;
  /** Default: every time. */
  readonly times?: number;
  /** Lets as many go by first. Default 0. */
  readonly after?: number;
}

export interface DaytonaServer {
  readonly apiUrl: string;
  /** `POST /api/sandbox` and the like, as they came. */
  readonly requests: readonly { readonly line: string; readonly body: string }[];
  fail(rule: FaultRule): void;
  /** All rules are forgotten. */
  heal(): void;
  /** Milliseconds that a sandbox takes to start. */
  startMs: number;
  /** Settings that an older installation does not know. */
  ignoresNetwork: boolean;
  /** Where commands find programs first. */
  programs: string;
  readonly sandboxes: ReadonlyMap<string, LocalSandbox>;
  /** As its own timer does. */
  stopSandbox(id: string): Promise<void>;
  /** As someone else does. */
  deleteSandbox(id: string): void;
  close(): Promise<void>;
}

export interface LocalSandbox {
  readonly dto: Record<string, unknown>;
  state: "starting" | "started" | "stopped" | "archived" | "error";
}

export async function startDaytonaServer(): Promise<DaytonaServer> {
  const sandboxes = new Map<string, LocalSandbox>();
  const requests: { line: string; body: string }[] = [];
  let rules: { rule: FaultRule; seen: number }[] = [];
  const settings = { startMs: 0, ignoresNetwork: false, programs: "" };

  const base = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const show = (sandbox: LocalSandbox): unknown => ({ ...sandbox.dto, state: sandbox.state });
  const start = async (sandbox: LocalSandbox): Promise<void> => {
    sandbox.state = "starting";
    if (settings.startMs > 0) {
      void delay(settings.startMs, undefined, { ref: false }).then(() => (sandbox.state = "started"));
    } else sandbox.state = "started";
  };
  const stopSandbox = async (id: string): Promise<void> => {
    const sandbox = sandboxes.get(id);
    if (sandbox === undefined) return;
    killAll(id);
    sandbox.state = "stopped";
  };

  const api = async (method: string, url: URL, body: Buffer): Promise<Answer> => {
    const [, , , id = "", action = ""] = url.pathname.split("/");
    if (id === "" && method === "POST") {
      const asked = JSON.parse(body.toString()) as Record<string, unknown>;
      const made = randomUUID();
      const dto: Record<string, unknown> = {
        id: made,
        name: made,
        organizationId: "org",
        user: "daytona",
        public: false,
        networkBlockAll: false,
        cpu: 1,
        gpu: 0,
        memory: 1,
        disk: 3,
        createdAt: new Date().toISOString(),
        toolboxProxyUrl: `${base()}/toolbox`,
        ...asked,
      };
      if (settings.ignoresNetwork) Object.assign(dto, { networkBlockAll: false, domainAllowList: undefined });
      const sandbox: LocalSandbox = { dto, state: "starting" };
      sandboxes.set(made, sandbox);
      await start(sandbox);
      return json(show(sandbox));
    }
    if (id === "") {
      const labels = JSON.parse(url.searchParams.get("labels") ?? "{}") as Record<string, string>;
      const items = [...sandboxes.values()].filter(({ dto }) =>
        Object.entries(labels).every(([name, value]) => (dto["labels"] as Record<string, string>)[name] === value),
      );
      return json({ items: items.map(show), nextCursor: null });
    }
    const sandbox = sandboxes.get(id);
    if (sandbox === undefined) return failure({ status: 404, message: `Sandbox with ID or name ${id} not found` });
    if (method === "DELETE") {
      killAll(id);
      sandboxes.delete(id);
    } else if (action === "start") await start(sandbox);
    else if (action === "stop") await stopSandbox(id);
    else if (action === "network-settings" && !settings.ignoresNetwork) {
      Object.assign(sandbox.dto, JSON.parse(body.toString()));
    }
    return json(show(sandbox));
  };

  const toolbox = async (url: URL, body: Buffer, contentType: string): Promise<Answer> => {
    const [, , id = "", ...rest] = url.pathname.split("/");
    const sandbox = sandboxes.get(id);
    if (sandbox === undefined) return failure({ status: 404, message: "not found" });
    if (sandbox.state !== "started") return failure({ status: 400, message: "no IP address found. Is the Sandbox started?" });
    const what = rest.join("/");
    if (what === "process/execute") {
      const request = JSON.parse(body.toString()) as ExecuteRequest;
      return execute(id, request, settings.programs);
    }
    if (what === "files/bulk-upload") return upload(body, contentType);
    if (what === "files/bulk-download") return download((JSON.parse(body.toString()) as { paths: string[] }).paths);
    return failure({ status: 404, message: `no route ${what}` });
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "", base());
    const line = `${request.method} ${url.pathname}`;
    const body = await readBody(request);
    requests.push({ line, body: body.toString() });
    const fault = faultOf(line);
    if (fault === "silence") return;
    if (fault === "reset") {
      request.socket.destroy();
      return;
    }
    let answer: Answer;
    if (typeof fault === "object") answer = failure(fault);
    else if (request.headers.authorization !== `Bearer ${apiKey}`) answer = failure({ status: 401, message: "Invalid credentials" });
    else if (url.pathname.startsWith("/toolbox/")) answer = await toolbox(url, body, request.headers["content-type"] ?? "");
    else answer = await api(request.method ?? "", url, body);
    if (fault === "half") {
      response.writeHead(answer.status, { ...answer.headers, "content-length": answer.body.length + 10 });
      response.write(answer.body.subarray(0, Math.ceil(answer.body.length / 2)), () => request.socket.destroy());
      return;
    }
    response.writeHead(answer.status, { ...answer.headers, "content-length": answer.body.length });
    response.end(answer.body);
  };

  const faultOf = (line: string): Fault | undefined => {
    const found = rules.find(({ rule }) => rule.on.test(line));
    if (found === undefined) return undefined;
    const { rule } = found;
    const at = found.seen++ - (rule.after ?? 0);
    if (at < 0) return undefined;
    if (at + 1 >= (rule.times ?? Infinity)) rules = rules.filter((each) => each !== found);
    return rule.fault;
  };

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.destroy(error as Error);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    apiUrl: `${base()}/api`,
    requests,
    sandboxes,
    fail: (rule) => void rules.push({ rule, seen: 0 }),
    heal: () => void (rules = []),
    get startMs() {
      return settings.startMs;
    },
    set startMs(ms) {
      settings.startMs = ms;
    },
    get ignoresNetwork() {
      return settings.ignoresNetwork;
    },
    set ignoresNetwork(value) {
      settings.ignoresNetwork = value;
    },
    get programs() {
      return settings.programs;
    },
    set programs(directory) {
      settings.programs = directory;
    },
    stopSandbox,
    deleteSandbox(id) {
      sandboxes.delete(id);
      killAll(id);
    },
    async close() {
      for (const id of sandboxes.keys()) killAll(id);
      server.closeAllConnections();
      // What was to be removed while the server failed.
      const left = requests.flatMap(({ body }) => body.match(/\/tmp\/\.sandbox-[0-9a-f-]+/g) ?? []);
      for (const place of new Set(left)) await rm(place, { recursive: true, force: true });
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const json = (value: unknown, status = 200): Answer => ({
  status,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(value)),
});

function failure({ status, headers, message = "told to fail" }: Exclude<Fault, string>): Answer {
  const answer = json({ statusCode: status, message, error: "Error" }, status);
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

interface ExecuteRequest {
  readonly command: string;
  readonly timeout?: number;
  readonly cwd?: string;
  readonly envs?: Readonly<Record<string, string>>;
}

const markOf = (id: string): string => `LOCAL_DAYTONA_SANDBOX=${id}`;

async function execute(
  id: string,
  { command, timeout, cwd, envs }: ExecuteRequest,
  programs: string,
): Promise<Answer> {
  const [name = "", value = ""] = markOf(id).split("=");
  const env = { PATH: `${programs === "" ? "" : `${programs}:`}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: "/tmp", [name]: value, ...envs };
  const child = spawn("/bin/sh", [], { cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  child.stdin.on("error", () => {});
  child.stdin.end(command);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    try {
      process.kill(-(child.pid ?? 0), "SIGKILL");
    } catch {
      // It has just ended.
    }
  }, (timeout ?? 3600) * 1000);
  const code = await new Promise<number>((resolve) => child.once("close", (exit) => resolve(exit ?? -1)));
  clearTimeout(timer);
  if (late) return failure({ status: 408, message: "command execution timeout" });
  return json({ exitCode: code, result: Buffer.concat(output).toString("utf8") });
}

/** Everything that began in a sandbox and kept its environment. */
function killAll(id: string): void {
  for (let round = 0; round < 20; round++) {
    let found = false;
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(markOf(id))) continue;
        process.kill(Number(pid), "SIGKILL");
        found = true;
      } catch {
        // Ended meanwhile, or not ours to look at.
      }
    }
    if (!found) return;
  }
}

async function upload(body: Buffer, contentType: string): Promise<Answer> {
  const form = await new Response(new Uint8Array(body), { headers: { "content-type": contentType } }).formData();
  for (let at = 0; form.has(`files[${at}].path`); at++) {
    const path = form.get(`files[${at}].path`) as string;
    const file = form.get(`files[${at}].file`) as File;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, new Uint8Array(await file.arrayBuffer()));
  }
  return json({});
}

async function download(paths: readonly string[]): Promise<Answer> {
  const boundary = `----${randomUUID()}`;
  const parts: Buffer[] = [];
  for (const path of paths) {
    let name = "file";
    let content: Buffer;
    try {
      content = await readFile(path);
    } catch (error) {
      name = "error";
      content = Buffer.from(JSON.stringify({ message: (error as Error).message, statusCode: 404, code: "NOT_FOUND" }));
    }
    const type = name === "file" ? "application/octet-stream" : "application/json";
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${path}"\r\nContent-Type: ${type}\r\nContent-Length: ${content.length}\r\n\r\n`;
    parts.push(Buffer.from(head), content, Buffer.from("\r\n"));
  }
  parts.push(Buffer.from(`--${boundary}--\r\n`));
  return { status: 200, headers: { "content-type": `multipart/form-data; boundary=${boundary}` }, body: Buffer.concat(parts) };
}
