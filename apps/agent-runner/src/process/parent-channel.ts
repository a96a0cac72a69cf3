/** What a child process tells the daemon that started it. */
export type ChildMessage = { readonly type: "ready" } | { readonly type: "failed"; readonly message: string };

/** The way to the daemon; without one (a runner started by hand) it does nothing. */
export interface ParentChannel {
  tell(message: ChildMessage): void;
  /** Called when the daemon is gone, however it went. */
  onGone(listener: () => void): void;
  /** Lets the process end although the channel is open. */
  close(): void;
}

export function parentChannel(process: NodeJS.Process): ParentChannel {
  return {
    tell(message) {
      // A daemon that is gone needs no message: `onGone` tells this side.
      if (process.connected) process.send?.(message, undefined, undefined, () => {});
    },
    onGone(listener) {
      if (!process.send) return;
      // The daemon may have gone while this process was still loading: then nobody will tell again.
      if (process.connected) process.once("disconnect", listener);
      else listener();
    },
    close() {
      if (process.connected) process.disconnect();
    },
  };
}
