import { expect, onTestFinished, test, vi } from "vitest";
import { fakeDaemon } from "./__fixtures__/fake-daemon.ts";
import { stopDaemon } from "./stop-daemon.ts";
import { startSupervisor } from "./supervisor.ts";

test("a daemon of another user is left to that user", async () => {
  await using daemon = await fakeDaemon();
  const { homes, children } = daemon;
  const supervisor = await startSupervisor({ homes, children, env: {}, port: 0 });
  try {
    const kill = vi.spyOn(process, "kill").mockImplementation(() => {
      throw Object.assign(new Error("kill EPERM"), { code: "EPERM" });
    });
    onTestFinished(() => void kill.mockRestore());
    const message = `The daemon (PID ${process.pid}) is another user's: stop it as that user.`;
    await expect(stopDaemon(homes)).rejects.toMatchObject({ code: "failed", message });
    kill.mockRestore();
    expect(supervisor.state().state).toBe("running");
  } finally {
    await supervisor.stop();
  }
});
