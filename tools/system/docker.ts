import { execa } from "execa";
import { chmod, cp, mkdir, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GateError } from "../gate.ts";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";
import { makeFolder, startService } from "./service.ts";

/** The one image that the engine has: busybox, and nothing that a registry would have to be asked for. */
const image = "stigmer-test";

/**
 * A Docker engine of our own, in a folder of its own. Its value is the address of its socket, the name of its image, and the
 * file of the network that it and its containers are in, where that is not the machine's.
 */
export const docker: Requirement = {
  variable: "STIGMER_TEST_DOCKER",
  async provide(signal) {
    if (process.getuid?.() !== 0) {
      throw new GateError(
        "Only root can start a Docker engine: set STIGMER_TEST_DOCKER to one, as `unix:///… <image>`",
      );
    }
    for (const [program, name] of [
      ["dockerd", "docker.io"],
      ["busybox", "busybox-static"],
      // What images of our own are made of.
      ["git", "git"],
      ["tini", "tini"],
    ] as const) {
      if (!(await isInstalled(program))) await installPackage(name);
    }
    const folder = await makeFolder("docker");
    const host = `unix://${folder.path}/socket`;
    const dispose = async (): Promise<void> => {
      await endRemains(folder.path);
      await unmountBelow(folder.path);
      await folder.remove();
    };
    const settings = join(folder.path, "daemon.json");
    const pidFile = join(folder.path, "pid");
    try {
      // In place of the machine's own.
      await writeFile(settings, "{}");
      const stop = await startService({
        name: "Docker",
        command: [
          // In a network of its own: it would remove or take over the bridge of the machine's own engine.
          "unshare",
          "--net",
          "sh",
          "-c",
          // Containers that share the engine's network find each other by its loopback interface.
          'busybox ip link set lo up && exec "$@"',
          "sh",
          "dockerd",
          `--host=${host}`,
          "--group=root",
          `--pidfile=${pidFile}`,
          `--data-root=${join(folder.path, "data")}`,
          `--exec-root=${join(folder.path, "exec")}`,
          `--config-file=${settings}`,
          "--iptables=false",
          "--ip6tables=false",
        ],
        folder: folder.path,
        ready: /API listen on/,
        stopSignal: "SIGTERM",
        keepsRights: true,
        signal,
      });
      const release = async (): Promise<void> => {
        await removeContainers(host);
        await stop();
        await dispose();
      };
      try {
        await importImage(host, folder.path);
        const pid = (await readFile(pidFile, "utf8")).trim();
        return { value: `${host} ${image} /proc/${pid}/ns/net`, release };
      } catch (error) {
        await stop();
        throw error;
      }
    } catch (error) {
      await dispose();
      throw error;
    }
  },
};

async function isInstalled(program: string): Promise<boolean> {
  const result = await execa("which", [program], { reject: false, stdin: "ignore" });
  return result.exitCode === 0;
}

/** A root file system of one program and its many names. */
async function importImage(host: string, folder: string): Promise<void> {
  const root = join(folder, "root");
  for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp", "workspace"]) {
    await mkdir(join(root, name), { recursive: true });
  }
  await chmod(join(root, "tmp"), 0o1777);
  const { stdout: program } = await execa("which", ["busybox"]);
  await cp(program, join(root, "bin", "busybox"));
  const { stdout: names } = await execa(program, ["--list"]);
  for (const name of names.split("\n").filter((each) => each !== "busybox")) {
    await symlink("busybox", join(root, "bin", name));
  }
  const archive = join(folder, "root.tar");
  await execa("tar", ["-C", root, "-cf", archive, "."]);
  await execa("docker", ["--host", host, "import", archive, image]);
  await rm(root, { recursive: true });
  await rm(archive);
}

/** What a killed suite left. An engine that ends with running containers leaves their files mounted. */
async function removeContainers(host: string): Promise<void> {
  const options = { reject: false, stdin: "ignore", timeout: 30_000 } as const;
  const { stdout } = await execa("docker", ["--host", host, "ps", "--all", "--quiet"], options);
  const containers = String(stdout ?? "")
    .split("\n")
    .filter((id) => id !== "");
  if (containers.length > 0) await execa("docker", ["--host", host, "rm", "--force", ...containers], options);
}

/** Its containerd and what that keeps for each container, if they outlived it: told by the folder in their arguments. */
async function endRemains(folder: string): Promise<void> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (!/containerd/.test(command.split("\0")[0] ?? "") || !command.includes(`${folder}/`)) continue;
    try {
      process.kill(Number(name), "SIGKILL");
    } catch {
      // Gone already.
    }
  }
}

async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const mount of mounts.filter((path) => path.startsWith(`${folder}/`)).toReversed()) {
    await execa("umount", ["--lazy", mount], { reject: false, stdin: "ignore" });
  }
}
