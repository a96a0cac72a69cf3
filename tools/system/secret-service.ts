import { join } from "node:path";
import { execa } from "execa";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";
import { makeFolder, startService } from "./service.ts";

/** A keychain of our own: GNOME Keyring, unlocked, on a session bus that is not that of who runs this. */
export const secretService: Requirement = {
  variable: "STIGMER_TEST_SECRET_SERVICE",
  async provide(signal) {
    for (const [program, name] of [
      ["dbus-daemon", "dbus"],
      ["gnome-keyring-daemon", "gnome-keyring"],
    ] as const) {
      const { exitCode } = await execa(program, ["--version"], { reject: false, stdin: "ignore" });
      if (exitCode !== 0) await installPackage(name);
    }
    const folder = await makeFolder("secret-service");
    const address = `unix:path=${join(folder.path, "bus")}`;
    let stop: (() => Promise<void>) | undefined;
    const release = async (): Promise<void> => {
      // The keyring's daemon ends with its bus.
      await stop?.();
      await folder.remove();
    };
    try {
      stop = await startService({
        name: "the session bus",
        command: ["dbus-daemon", "--session", "--nofork", "--print-address", `--address=${address}`],
        folder: folder.path,
        ready: /^unix:path=/m,
        stopSignal: "SIGTERM",
        // A session bus talks to its own user.
        keepsRights: true,
        signal,
      });
      // The password is asked for on stdin, and the command ends when its daemon serves.
      await execa("gnome-keyring-daemon", ["--unlock", "--components=secrets"], {
        input: "for these tests alone",
        stdout: "ignore",
        stderr: "ignore",
        env: { HOME: folder.path, XDG_RUNTIME_DIR: folder.path, DBUS_SESSION_BUS_ADDRESS: address },
      });
      return { value: address, release };
    } catch (error) {
      await release();
      throw error;
    }
  },
};
