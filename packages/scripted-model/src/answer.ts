import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { chooseTurn } from "./choose-turn.ts";
import { sendJson, writeFrames } from "./exchange.ts";
import type { FaultCounter } from "./faults.ts";
import type { ChatRequest, Failure, Protocol } from "./protocols/protocol.ts";
import type { OpenRecord } from "./requests.ts";
import type { Pace, ScenarioFile, Turn } from "./scenario/scenario.ts";
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
  const error = turn.error !== undefined && faults.due(`${key} error`, turn.error.times) ? turn.error : undefined;
  const failure: Failure | undefined = error && {
    status: error.status,
    type: error.type,
    message: error.message ?? `Scripted failure of scenario "${chosen.scenario.name}"`,
  };

  if (pace.startDelayMs > 0) await sleep(pace.startDelayMs, undefined, { signal });
  if (error && failure && (error.afterChunks === undefined || !request.stream)) {
    if (error.retryAfter !== undefined) response.setHeader("retry-after", String(error.retryAfter));
    record.outcome = "failed";
    record.status = error.status;
    return sendJson(response, error.status, protocol.encodeFailure(failure));
  }

  const reply = writeReply(chosen, request.conversation, {
    chunkSize: pace.chunkSize,
    idPrefixes: protocol.idPrefixes,
  });
  const cut = turn.cut !== undefined && faults.due(`${key} cut`, turn.cut.times) ? turn.cut : undefined;
  record.status = 200;
  if (!request.stream) {
    record.outcome = cut ? "cut" : "answered";
    if (cut) response.destroy();
    else sendJson(response, 200, protocol.encodeWhole(reply));
    return;
  }

  response.writeHead(200, { "content-type": protocol.streamType, "cache-control": "no-cache" });
  const stopAfter = error?.afterChunks ?? cut?.afterChunks;
  await writeFrames(response, protocol.encodeStream(reply), { chunkDelayMs: pace.chunkDelayMs, stopAfter, signal });
  if (failure) {
    record.outcome = "failed";
    response.end(protocol.encodeStreamFailure(failure));
  } else if (cut) {
    record.outcome = "cut";
    // After what was written has left: a break that overtakes the data would cut it all.
    response.socket?.destroySoon();
  } else {
    record.outcome = "answered";
    response.end();
  }
}

function paceOf(file: ScenarioFile, turn: Turn): Required<Pace> {
  const { defaults } = file;
  return {
    chunkSize: turn.chunkSize ?? defaults?.chunkSize ?? 12,
    chunkDelayMs: turn.chunkDelayMs ?? defaults?.chunkDelayMs ?? 0,
    startDelayMs: turn.startDelayMs ?? defaults?.startDelayMs ?? 0,
  };
}
