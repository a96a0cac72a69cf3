import { EventEmitter } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { parentChannel } from "./parent-channel.ts";

function child(state: { connected: boolean; send?: (message: unknown) => void }): NodeJS.Process {
  return Object.assign(new EventEmitter(), state) as unknown as NodeJS.Process;
}

describe("the channel to the daemon", () => {
  it("tells when the daemon goes", () => {
    const process = child({ connected: true, send: () => {} });
    const gone = vi.fn<() => void>();
    parentChannel(process).onGone(gone);
    expect(gone).not.toHaveBeenCalled();
    process.emit("disconnect");
    expect(gone).toHaveBeenCalledTimes(1);
  });

  it("tells when it had gone before anyone asked", () => {
    const gone = vi.fn<() => void>();
    parentChannel(child({ connected: false, send: () => {} })).onGone(gone);
    expect(gone).toHaveBeenCalledTimes(1);
  });

  it("is silent without a daemon", () => {
    const process = child({ connected: false });
    const gone = vi.fn<() => void>();
    const channel = parentChannel(process);
    channel.onGone(gone);
    channel.tell({ type: "ready" });
    process.emit("disconnect");
    expect(gone).not.toHaveBeenCalled();
  });
});
