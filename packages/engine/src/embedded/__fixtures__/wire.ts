import { Code, ConnectError, type Transport } from "@connectrpc/connect";

/** A way from a runner to the server that can break. */
export interface Wire extends Transport {
  /** Breaks the streams that stand; new calls go through. */
  breakStreams(): void;
  /** Every call fails with this code until `heal`; streams that stand break. */
  cut(code?: Code): void;
  heal(): void;
  /** The next unary call of this method reaches the server, its answer does not come back. */
  loseAnswerOf(method: string): void;
  /** How many calls of this method were answered. */
  answered(method: string): number;
}

export function createWire(target: () => Transport): Wire {
  let streams = new AbortController();
  let down: Code | undefined;
  let lostAnswer = "";
  const answers = new Map<string, number>();
  const check = (): void => {
    if (down !== undefined) throw new ConnectError("The wire is cut.", down);
  };
  const breakStreams = (): void => {
    streams.abort();
    streams = new AbortController();
  };
  return {
    unary: async (method, signal, timeoutMs, ...rest) => {
      check();
      const answer = await target().unary(method, signal, timeoutMs, ...rest);
      check();
      if (lostAnswer === method.name) {
        lostAnswer = "";
        throw new ConnectError("The answer is lost.", Code.Unavailable);
      }
      answers.set(method.name, (answers.get(method.name) ?? 0) + 1);
      return answer;
    },
    stream: async (method, signal, timeoutMs, ...rest) => {
      check();
      const either = signal ? AbortSignal.any([signal, streams.signal]) : streams.signal;
      return target().stream(method, either, timeoutMs, ...rest);
    },
    breakStreams,
    answered: (method) => answers.get(method) ?? 0,
    cut: (code = Code.Unavailable) => {
      down = code;
      breakStreams();
    },
    heal: () => {
      down = undefined;
    },
    loseAnswerOf: (method) => {
      lostAnswer = method;
    },
  };
}
