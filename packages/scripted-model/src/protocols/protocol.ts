import type { IncomingHttpHeaders } from "node:http";
import type { Conversation } from "../conversation.ts";
import type { Reply } from "../reply.ts";
import type { FailureReason } from "../scenario/scenario.ts";

/** One provider's HTTP dialect: requests into conversations, replies into bytes. It knows nothing of scenarios. */
export interface Protocol {
  /** How the provider's ids begin; what follows is made from the conversation. */
  readonly idPrefixes: { readonly message: string; readonly call: string };
  /** What a request line asks for, or undefined when it is not this protocol's. Headers settle paths that two share. */
  route(method: string, path: string, headers: IncomingHttpHeaders): Endpoint | undefined;
  /** The body of an error answer. */
  encodeFailure(failure: Failure): unknown;
  readonly streamType: string;
  /** The provider's own words for what goes wrong. */
  describeFailure(reason: FailureReason, model: string): Failure;
  /** Frames of a streamed answer, in order. */
  encodeStream(reply: Reply, request: ChatRequest): Iterable<Frame>;
  /** A frame of the stream that its client can't read. */
  readonly malformedFrame: string;
  /** A failure reported inside a stream that began well. */
  encodeStreamFailure(failure: Failure): string;
  /** The answer to a request that asked for no stream. */
  encodeWhole(reply: Reply): unknown;
}

type Endpoint =
  | {
      readonly kind: "chat";
      /** @throws {ScriptedModelError} `bad-request` or `no-credentials`, as the provider itself would refuse. */
      parse(body: unknown, headers: IncomingHttpHeaders): ChatRequest;
    }
  | {
      readonly kind: "lookup";
      /** @throws {ScriptedModelError} */
      answer(context: { models: readonly string[]; body: unknown; headers: IncomingHttpHeaders }): unknown;
    };

export interface ChatRequest {
  readonly conversation: Conversation;
  readonly stream: boolean;
  /** Whether the stream shall end with what was used, where a client has to ask for it. */
  readonly streamUsage?: boolean;
}

/** A failure in no provider's terms. */
export interface Failure {
  readonly status: number;
  /** Default: what the protocol says for the status. */
  readonly type?: string;
  readonly message: string;
  /** A second, finer word that some protocols have. */
  readonly code?: string;
}

export interface Frame {
  readonly bytes: string;
  /**
   * `piece`: a bit of text, reasoning or arguments, which is what pace, `afterChunks` and cuts count.
   * `end`: what tells the client that the answer is whole, and so is never sent when it is not.
   */
  readonly kind: "frame" | "piece" | "end";
}
