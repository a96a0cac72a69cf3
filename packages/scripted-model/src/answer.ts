import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { chooseTurn } from "./choose-turn.ts";
import { sendJson, sendPage, writeFrames } from "./exchange.ts";
import type { FaultCounter } from "./faults.ts";
import type { ChatRequest, Failure, Protocol } from "./protocols/protocol.ts";
import type { OpenRecord } from "./requests.ts";
import type { Cut, Pace, ScenarioFile, ScriptedFailure, Turn } from "./scenario/scenario.ts";
import { runKey, writeReply } from "./write-reply.ts";

export interface AnswerContext {
  readonly file: ScenarioFile;
  readonly protocol: Protocol;
  readonly faults: FaultCounter;
  readonly record: OpenRecord;
  /** Aborted when the connection is gone. */
  readonly signal: AbortSignal;
}

/**
 * Answers one chat request, well or as badly as its turn asks.
 * @throws {ScriptedModelError} before anything is sent, when there is no answer to give.
 */
export async function answerChat(
  request: ChatRequest,
  response: ServerResponse,
  context: AnswerContext,
): Promise<void> {
  const { file, protocol, faults, record, signal } = context;
  const chosen = chooseTurn(file, request.conversation);
  const { turn } = chosen;
  record.scenario = chosen.scenario.name;
  record.turn = chosen.position.turn;
  const pace = paceOf(file, turn);
  const key = runKey(chosen);
  const errorKey = `${key} error`;
  const cutKey = `${key} cut`;
  const failedBefore = faults.count(errorKey) + faults.count(cutKey);
  const error = turn.error !== undefined && faults.due(errorKey, turn.error.times) ? turn.error : undefined;
  const failure =
    error && failureOf(error, { protocol, model: request.conversation.model, scenario: chosen.scenario.name });

  if (pace.startDelayMs > 0) await sleep(pace.startDelayMs, undefined, { signal });
  if (error && failure && (error.afterChunks === undefined || !request.stream)) {
    for (const [name, value] of retryHeaders(error)) response.setHeader(name, value);
    record.outcome = "failed";
    record.status = failure.status;
    const { contentType } = error;
    if (contentType !== undefined) return sendPage(response, { ...failure, contentType });
    return sendJson(response, failure.status, protocol.encodeFailure(failure));
  }

  const { idPrefixes } = protocol;
  const { chunkSize, chunkDelayMs } = pace;
  const reply = writeReply(chosen, request.conversation, { chunkSize, idPrefixes, failedBefore });
  const cut = turn.cut !== undefined && faults.due(cutKey, turn.cut.times) ? turn.cut : undefined;
  record.status = 200;
  if (!request.stream) {
    if (cut) return breakOff(response, cut, context);
    record.outcome = "answered";
    return sendJson(response, 200, protocol.encodeWhole(reply));
  }

  response.writeHead(200, { "content-type": protocol.streamType, "cache-control": "no-cache" });
  const stopAfter = error?.afterChunks ?? cut?.afterChunks;
  await writeFrames(response, protocol.encodeStream(reply, request), { chunkDelayMs, stopAfter, signal });
  if (failure) {
    record.outcome = "failed";
    response.end(protocol.encodeStreamFailure(failure));
  } else if (cut) {
    await breakOff(response, cut, context);
  } else {
    record.outcome = "answered";
    response.end();
  }
}

async function breakOff(
  response: ServerResponse,
  cut: Cut,
  { protocol, record, signal }: AnswerContext,
): Promise<void> {
  switch (cut.how) {
    case "silence":
      // Until the client leaves.
      if (!signal.aborted) await once(signal, "abort");
      return;
    case "end":
      response.end();
      break;
    case "malformed":
      response.end(protocol.malformedFrame);
      break;
    default:
      // After what was written has left: a break that overtakes the data would cut it all.
      if (response.headersSent) response.socket?.destroySoon();
      else response.destroy();
  }
  record.outcome = "cut";
}

function failureOf(
  error: ScriptedFailure,
  of: { readonly protocol: Protocol; readonly model: string; readonly scenario: string },
): Failure {
  const own = error.reason === undefined ? undefined : of.protocol.describeFailure(error.reason, of.model);
  return {
    status: error.status ?? own?.status ?? 500,
    type: error.type ?? own?.type,
    code: own?.code,
    message: error.message ?? own?.message ?? `Scripted failure of scenario "${of.scenario}"`,
  };
}

function retryHeaders({ retryAfter, retryAfterAs }: ScriptedFailure): [name: string, value: string][] {
  if (retryAfter === undefined) return [];
  if (retryAfterAs === "milliseconds") return [["retry-after-ms", String(Math.round(retryAfter * 1000))]];
  // Dates have whole seconds: the next one, so that the wait is not shorter than asked for.
  const date = new Date(Math.ceil((Date.now() + retryAfter * 1000) / 1000) * 1000);
  return [["retry-after", retryAfterAs === "date" ? date.toUTCString() : String(retryAfter)]];
}

function paceOf(file: ScenarioFile, turn: Turn): Required<Pace> {
  const { defaults } = file;
  return {
    chunkSize: turn.chunkSize ?? defaults?.chunkSize ?? 12,
    chunkDelayMs: turn.chunkDelayMs ?? defaults?.chunkDelayMs ?? 0,
    startDelayMs: turn.startDelayMs ?? defaults?.startDelayMs ?? 0,
  };
}
