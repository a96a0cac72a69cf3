// Those who read along what a process prints, each at a speed of its own and in bounded memory.
import type { OutputPiece } from "./sandbox.ts";

/** What one follower may have unread, in UTF-16 units; above it the oldest pieces are dropped. */
const mostUnread = 1024 * 1024;
const joinedLength = 16 * 1024;

type StreamName = OutputPiece["stream"];

export interface OutputFollowers {
  push(stream: StreamName, text: string): void;
  /** All of them get what they have not read yet, and then the end. */
  end(): void;
  /** From now on: also what is pushed before the first piece is asked for. */
  follow(): AsyncIterable<OutputPiece>;
}

export function createFollowers(): OutputFollowers {
  const followers = new Set<Follower>();
  let ended = false;
  return {
    push(stream, text) {
      for (const follower of followers) follower.push(stream, text);
    },
    end() {
      ended = true;
      for (const follower of followers) follower.end();
      followers.clear();
    },
    follow() {
      const follower = createFollower(() => followers.delete(follower));
      if (ended) follower.end();
      else followers.add(follower);
      return { [Symbol.asyncIterator]: () => follower.iterator };
    },
  };
}

interface Follower {
  push(stream: StreamName, text: string): void;
  end(): void;
  readonly iterator: AsyncIterator<OutputPiece, undefined>;
}

function createFollower(leave: () => void): Follower {
  let pieces: { readonly stream: StreamName; text: string }[] = [];
  let unread = 0;
  const lost = { stdout: 0, stderr: 0 };
  let ended = false;
  let wake = (): void => {};

  const end = (): void => {
    ended = true;
    wake();
  };
  return {
    push(stream, text) {
      const last = pieces.at(-1);
      // Pieces are joined, so that a program that prints byte by byte costs no object for each.
      if (last?.stream === stream && last.text.length < joinedLength) last.text += text;
      else pieces.push({ stream, text });
      unread += text.length;
      while (unread > mostUnread && pieces.length > 1) {
        const dropped = pieces.shift();
        if (dropped === undefined) break;
        unread -= dropped.text.length;
        lost[dropped.stream] += dropped.text.length;
      }
      wake();
    },
    end,
    iterator: {
      async next() {
        for (;;) {
          const piece = pieces.shift();
          if (piece !== undefined) {
            unread -= piece.text.length;
            const skipped = lost[piece.stream];
            lost[piece.stream] = 0;
            return { done: false, value: { ...piece, skipped } };
          }
          if (ended) return { done: true, value: undefined };
          await new Promise<void>((resolve) => (wake = resolve));
        }
      },
      async return() {
        leave();
        pieces = [];
        end();
        return { done: true, value: undefined };
      },
    },
  };
}
