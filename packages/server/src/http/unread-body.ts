import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { NodeRequest, NodeResponse } from "./node-handler.ts";

/** What is read of a body only to keep its connection for the next request. */
const WORTH_A_CONNECTION_BYTES = 256 * 1024;

/** For how long a client that still sends may read its answer before the connection is cut. */
const READING_MS = 500;

/**
 * Call it before an answer is written. When the answer comes before the body has come, as a refusal does, the rest of the body
 * stays with the client: Node would read all of it over HTTP/1.1, to throw it away, unless it is short. Over HTTP/2 Node does
 * it right by itself, by a reset of the stream without error.
 */
export function leaveBodyUnread(request: NodeRequest, response: NodeResponse): void {
  if ("stream" in request || request.complete || !isLong(request)) return;
  response.setHeader("connection", "close");
  // A body that is being read is none that Node throws away.
  request.read(0);
  // How Node closes a connection after its last answer. Unread bytes would make it a reset, which may overtake the answer.
  const { socket } = request;
  socket.destroySoon = () => closeSlowly(socket);
}

function isLong({ headers }: IncomingMessage): boolean {
  if (headers["transfer-encoding"] !== undefined) return true;
  return Number(headers["content-length"] ?? 0) > WORTH_A_CONNECTION_BYTES;
}

function closeSlowly(socket: Socket): void {
  socket.end();
  const cut = setTimeout(() => socket.destroy(), READING_MS);
  socket.once("close", () => clearTimeout(cut));
}
