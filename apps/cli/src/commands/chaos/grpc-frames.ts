// gRPC's framing: a flag (0: as it is), the length in four bytes, the message.
const HEAD = 5;

/** The complete messages of a body, and the beginning of the next one. Throws for a compressed message. */
export function splitFrames(body: Uint8Array): { readonly messages: readonly Uint8Array[]; readonly rest: Uint8Array } {
  const messages: Uint8Array[] = [];
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  while (body.length - at >= HEAD) {
    const length = view.getUint32(at + 1);
    if (body.length - at - HEAD < length) break;
    if (body[at] !== 0) throw new Error("a compressed gRPC message can't be looked at");
    messages.push(body.subarray(at + HEAD, at + HEAD + length));
    at += HEAD + length;
  }
  return { messages, rest: body.subarray(at) };
}

/** The message with its head. */
export function joinFrames(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEAD + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, HEAD);
  return frame;
}
