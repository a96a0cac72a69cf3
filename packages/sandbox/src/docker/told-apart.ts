// What the script around a command says, in between what the command prints: told apart by a secret word that nobody prints
// by chance. `<word><what it says>;`, written in one piece.

/** Longer than anything that is said. */
const mostSaid = 200;
const end = ";".charCodeAt(0);

export interface ToldApart {
  push(bytes: Buffer): void;
  /** Nothing more comes: what was held back is output too. */
  end(): void;
}

/** Nothing is held back but what could be the beginning of the word. */
export function tellApart(
  word: string,
  tell: { readonly printed: (bytes: Buffer) => void; readonly said: (text: string) => void },
): ToldApart {
  const mark = Buffer.from(word);
  const first = mark[0] ?? 0;
  let held = Buffer.alloc(0);

  const print = (bytes: Buffer): void => {
    if (bytes.length > 0) tell.printed(bytes);
  };
  return {
    push(bytes) {
      let data = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
      held = Buffer.alloc(0);
      for (;;) {
        const at = data.indexOf(mark);
        if (at < 0) break;
        const from = at + mark.length;
        const to = data.indexOf(end, from);
        if (to < 0 && data.length - from < mostSaid) {
          print(data.subarray(0, at));
          held = Buffer.from(data.subarray(at));
          return;
        }
        if (to < 0 || to - from > mostSaid) {
          print(data.subarray(0, from));
          data = data.subarray(from);
          continue;
        }
        print(data.subarray(0, at));
        tell.said(data.subarray(from, to).toString("latin1"));
        data = data.subarray(to + 1);
      }
      let cut = data.indexOf(first, Math.max(0, data.length - mark.length + 1));
      while (cut >= 0 && !mark.subarray(0, data.length - cut).equals(data.subarray(cut))) {
        cut = data.indexOf(first, cut + 1);
      }
      if (cut >= 0) held = Buffer.from(data.subarray(cut));
      print(cut >= 0 ? data.subarray(0, cut) : data);
    },
    end() {
      print(held);
      held = Buffer.alloc(0);
    },
  };
}
