import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startScriptedModel, type ScriptedModel } from "./server.ts";

// The README's example of each misbehaviour, asked of every protocol.
let folder: string;
let model: ScriptedModel;
let names: string[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "scripted-model-"));
  const readme = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
  const example = /^```yaml\n(?<yaml>name: misbehaviour\n.*?)^```$/ms.exec(readme)?.groups?.["yaml"];
  expect(example, "no example of misbehaviour").toBeDefined();
  const file = join(folder, "misbehaviour.yaml");
  await writeFile(file, example ?? "");
  names = [...(example ?? "").matchAll(/- \{ name: ([^,]+),/g)].map(([, name]) => name!);
  model = await startScriptedModel({ scenario: file });
});
afterAll(async () => {
  await model.close();
  await rm(folder, { recursive: true });
});

/** Status, and what was read until it ended, broke or fell silent. */
const expected: Readonly<Record<string, readonly [status: RegExp, how: RegExp]>> = {
  "wait for seconds": [/^429$/, /^ended, retry-after: 2$/],
  "wait until": [/^429$/, /^ended, retry-after: \w{3}, .* GMT$/],
  overloaded: [/^5(03|29)$/, /^ended, then 200$/],
  unavailable: [/^503$/, /^ended$/],
  broken: [/^500$/, /^ended$/],
  "bad key": [/^401$/, /^ended$/],
  "no such model": [/^404$/, /^ended$/],
  "too long": [/^400$/, /^ended$/],
  "out of credit": [/^4(00|02|29)$/, /^ended$/],
  blocked: [/^400$/, /^ended$/],
  refusal: [/^200$/, /^ended$/],
  "login page": [/^200$/, /^ended, text\/html$/],
  "fails midway": [/^200$/, /^ended with an error$/],
  "socket closes": [/^200$/, /^broke$/],
  "ends early": [/^200$/, /^ended$/],
  malformed: [/^200$/, /^ended$/],
  silence: [/^200$/, /^silent$/],
  slow: [/^200$/, /^ended$/],
};

type Ask = (question: string) => {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: object;
};
const asked = (content: string): object => ({ model: "m", stream: true, messages: [{ role: "user", content }] });
const bearer = { authorization: "Bearer any" };
const protocols: Readonly<Record<string, Ask>> = {
  anthropic: (question) => ({
    path: "/v1/messages",
    headers: { "x-api-key": "any", "anthropic-version": "2023-06-01" },
    body: { ...asked(question), max_tokens: 10 },
  }),
  "openai chat": (question) => ({ path: "/v1/chat/completions", headers: bearer, body: asked(question) }),
  "openai responses": (question) => ({
    path: "/v1/responses",
    headers: bearer,
    body: { model: "m", stream: true, input: question },
  }),
  ollama: (question) => ({ path: "/api/chat", headers: {}, body: asked(question) }),
};

async function outcomeOf(ask: ReturnType<Ask>, name: string): Promise<readonly [status: string, how: string]> {
  const leave = new AbortController();
  const post = (): Promise<Response> =>
    fetch(model.url + ask.path, {
      method: "POST",
      headers: ask.headers,
      body: JSON.stringify(ask.body),
      signal: leave.signal,
    });
  const response = await post();
  const status = String(response.status);
  if (name === "silence") {
    const reader = response.body!.getReader();
    let text = "";
    // Both pieces have come: no third one does.
    while (!text.includes("lf")) text += Buffer.from((await reader.read()).value!).toString();
    const open = model.requests.at(-1)?.outcome === "open";
    leave.abort();
    return [status, open ? "silent" : "over"];
  }
  const read = await response.text().then(
    (text) => ({ text, how: "ended" }),
    () => ({ text: "", how: "broke" }),
  );
  const wait = response.headers.get("retry-after");
  if (wait !== null) return [status, `${read.how}, retry-after: ${wait}`];
  if (name === "overloaded") return [status, `${read.how}, then ${(await post()).status}`];
  if (response.headers.get("content-type") === "text/html") return [status, `${read.how}, text/html`];
  return [
    status,
    status === "200" && /"error":[{"]|"type":"error"/.test(read.text) ? `${read.how} with an error` : read.how,
  ];
}

describe.each(Object.entries(protocols))("%s", (protocol, ask) => {
  it.each(Object.keys(expected))("%s", async (name) => {
    const [status, how] = await outcomeOf(ask(`${name}, ${protocol}`), name);
    expect(status).toMatch(expected[name]![0]);
    expect(how).toMatch(expected[name]![1]);
  });
});

it("leaves none out", () => {
  expect(names.toSorted()).toEqual(Object.keys(expected).toSorted());
});
