// What servers stream, each event parsed, as a client of such a server does.

/** Server-sent events. */
export async function* postForEvents(url: string, body: unknown): AsyncGenerator {
  for await (const block of pieces(await post(url, body), "\n\n")) {
    const data = block
      .split("\n")
      .flatMap((line) => (line.startsWith("data:") ? [line.slice("data:".length)] : []))
      .join("\n");
    if (data !== "" && data.trim() !== "[DONE]") yield JSON.parse(data);
  }
}

/** JSON, each with ASCII's record separator behind it. */
export async function* postForRecords(url: string, body: unknown): AsyncGenerator {
  for await (const record of pieces(await post(url, body), "\u001E")) yield JSON.parse(record);
}

async function post(url: string, body: unknown): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.ok && response.body !== null) return response.body;
  throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
}

async function* pieces(stream: ReadableStream<Uint8Array<ArrayBuffer>>, end: string): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const found = (rest + text).replaceAll("\r\n", "\n").split(end);
    rest = found.pop() ?? "";
    yield* found.filter((piece) => piece.trim() !== "");
  }
}
