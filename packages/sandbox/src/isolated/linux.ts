// Isolation by bubblewrap: namespaces that the sandbox's commands join one after the other.
import { quote } from "./quote.ts";
import type { NetworkPolicy, SandboxLimits } from "../sandbox.ts";
import type { Findings, IsolatedMeans, MeansOptions } from "./means.ts";
import { home, mountArguments, workspace } from "./mounts.ts";
import { createNamespaces, type Namespaces } from "./namespaces.ts";
import { createProxy, proxyEnvironment } from "./proxy.ts";
import { findPrograms, type Programs } from "./programs.ts";

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What this machine can keep. */
export async function findings(): Promise<Findings> {
  await findPrograms(path);
  return { platform: "linux", limits: processLimits() };
}

/** Root may start as many processes as it likes, in whatever namespace. */
function processLimits(): (keyof SandboxLimits)[] {
  return process.geteuid?.() === 0 ? ["cpuSeconds", "memoryBytes"] : ["cpuSeconds", "memoryBytes", "processes"];
}

export async function createMeans(options: MeansOptions): Promise<IsolatedMeans> {
  const programs = await findPrograms(path);
  const network: NetworkPolicy = options.network ?? { type: "off" };
  const mounts = await mountArguments({
    rootDir: options.location,
    readOnlyPaths: options.readOnlyPaths ?? [],
    hiddenPaths: options.hiddenPaths ?? [],
    resolvesNames: network.type === "full",
  });
  const proxy = network.type === "allow-list" ? await createProxy(network.domains) : undefined;
  const make = async (): Promise<Namespaces> => {
    const made = await createNamespaces({
      bwrap: programs.bwrap,
      shell: options.shell,
      mounts,
      ownNetwork: network.type !== "full",
    });
    if (proxy === undefined) return made;
    try {
      const bridge = await proxy.bridge([programs.nsenter, ...made.joinNetwork]);
      return {
        ...made,
        async end() {
          bridge.end();
          await made.end();
        },
      };
    } catch (error) {
      await made.end();
      throw error;
    }
  };
  let ended = false;
  let current: Promise<Namespaces> = make();
  let namespaces: Namespaces;
  try {
    namespaces = await current;
  } catch (error) {
    await proxy?.end();
    throw error;
  }

  /** A command may kill everything it sees, and with it the process that holds the namespaces: then there are new ones. */
  const living = async (): Promise<Namespaces> => {
    namespaces = await current;
    if (namespaces.isAlive() || ended) return namespaces;
    const before = namespaces;
    current = (async () => {
      await before.end();
      return make();
    })();
    namespaces = await current;
    return namespaces;
  };

  /** What multiplies faster than it can be killed one by one ends with its namespace all the same. */
  const endNamespaces = async (): Promise<void> => {
    ended = true;
    // Failed to be made: there is nothing to end.
    const last = await current.catch(() => undefined);
    await last?.end();
  };

  return {
    root: workspace,
    env: {
      PATH: path,
      HOME: home,
      USER: "sandbox",
      LOGNAME: "sandbox",
      SHELL: options.shell,
      LANG: "C.UTF-8",
      TMPDIR: "/tmp",
      ...(proxy && proxyEnvironment),
    },
    async launch(cwd) {
      const { join } = await living();
      return {
        file: programs.nsenter,
        args: [...join, ...limited(programs, options.limits), programs.setpriv, "--no-new-privs", options.shell],
        hasParent: true,
        before: cwd === workspace ? `cd ${workspace};` : `cd ${quote(cwd)}||exit 126;`,
        cwd: "/",
      };
    },
    // The namespaces end with this process.
    guarded: false,
    watch() {
      const joined = namespaces;
      return (exitCode, reason) => reason ?? (exitCode !== 0 && !joined.isAlive() ? "killed" : undefined);
    },
    isInside: (pid) => namespaces.contains(pid),
    killAll: endNamespaces,
    async end() {
      await endNamespaces();
      await proxy?.end();
    },
  };
}

/** The holder of the namespaces and its first process count too. */
const ownProcesses = 2;

function limited(programs: Programs, limits: SandboxLimits = {}): string[] {
  const { cpuSeconds, memoryBytes, processes } = limits;
  const options = [
    ...(cpuSeconds === undefined ? [] : [`--cpu=${cpuSeconds}`]),
    // Not the address space: runtimes reserve more of that than there is memory.
    ...(memoryBytes === undefined ? [] : [`--data=${memoryBytes}`]),
    ...(processes === undefined ? [] : [`--nproc=${processes + ownProcesses}`]),
  ];
  return options.length === 0 ? [] : [programs.prlimit, ...options];
}
