import { execa } from "execa";
import { GateError } from "../gate.ts";

let queue: Promise<void> = Promise.resolve();

/** Installs a package of Debian's when we are root, one after the other: apt has one lock. */
export function installPackage(name: string): Promise<void> {
  const installed = queue.then(() => install(name));
  queue = installed.catch(() => {});
  return installed;
}

async function install(name: string): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new GateError(`${name} is not installed, and only root may do it: sudo apt-get install ${name}`);
  }
  console.log(`Installing ${name} …`);
  await apt(["update", "-qq"], name);
  await apt(["install", "-y", "-qq", "--no-install-recommends", name], name);
}

async function apt(args: readonly string[], name: string): Promise<void> {
  const result = await execa("apt-get", ["-o", "DPkg::Lock::Timeout=300", ...args], {
    all: true,
    reject: false,
    stdin: "ignore",
    // Runlevel 1: the package starts no service of its own on the machine.
    env: { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
  });
  if (result.failed) {
    const said = result.all?.trim().split("\n").at(-1) || result.shortMessage;
    throw new GateError(`${name} can't be installed: apt-get ${args.join(" ")}: ${said}`);
  }
}
