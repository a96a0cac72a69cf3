import { execa, type Result } from "execa";

/** The Docker engine of the system tests. */
export interface Engine {
  /** `DOCKER_HOST`. */
  readonly host: string;
  /** An image with a shell, for sandboxes. */
  readonly image: string;
  /** Runs `docker` to its end and answers what it printed. Throws with that when it fails. */
  docker(args: readonly string[], options?: DockerOptions): Promise<string>;
  /** As the engine's own network sees it: there is the loopback interface of containers that have no network of their own. */
  inNetwork(command: readonly [string, ...string[]]): readonly [string, ...string[]];
  /** Removes containers, whatever they are doing. */
  remove(...containers: readonly string[]): Promise<void>;
}

interface DockerOptions {
  /** For `--env NAME`, whose value then stands in no command line. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The engine that `pnpm test:system` started. Another one is no use here: on the machine's network, ports may be taken. */
export function findEngine(): Engine {
  const [host, image, network] = (process.env["STIGMER_TEST_DOCKER"] ?? "").split(" ");
  if (!host || !image || !network) {
    throw new Error("STIGMER_TEST_DOCKER names no engine with a network of its own: `pnpm test:system` starts one.");
  }
  const run = (args: readonly string[], options: DockerOptions = {}): Promise<Result<{ all: true; reject: false }>> =>
    // The older builder: the newer one is a plugin that not every machine has, and the Dockerfiles need neither.
    execa("docker", ["--host", host, ...args], {
      all: true,
      reject: false,
      stdin: "ignore",
      env: { DOCKER_BUILDKIT: "0", ...options.env },
    });
  return {
    host,
    image,
    docker: async (args, options) => {
      const { exitCode, all = "" } = await run(args, options);
      if (exitCode !== 0) throw new Error(`docker ${args[0]} ended with ${exitCode}:\n${all.slice(-4_000)}`);
      return all;
    },
    inNetwork: (command) => ["nsenter", `--net=${network}`, ...command],
    remove: async (...containers) => {
      await run(["rm", "--force", "--volumes", ...containers]);
    },
  };
}
