// What the sandboxes of this machine add to what they are made of.
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Agent, request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { createSandbox, type Sandbox, type SandboxBackendConfig } from "@stigmer/sandbox";
import { given, type Parts } from "../parts.ts";
import type { Figure } from "../report.ts";

const rounds = 150;
const fileRounds = 60;
const fileBytes = 10 * 1024 * 1024;
const aimRatio = 1.15;
/** Nine tenths of the throughput. */
const fileAimRatio = 1 / 0.9;

export function sandbox(): Parts {
  const [host = "", image] = process.env["STIGMER_TEST_DOCKER"]?.split(" ") ?? [];
  return {
    filesystem: () => withSandbox({ type: "filesystem" }, filesystem),
    isolated: has("bwrap") ? () => withSandbox({ type: "isolated" }, isolated) : { lacks: "bwrap (bubblewrap)" },
    docker: given(["STIGMER_TEST_DOCKER"], () =>
      withSandbox({ type: "docker", host, image, pull: "never" }, (made) => docker(made, host)),
    ),
    files: () => withSandbox({ type: "filesystem" }, files),
  };
}

const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;

async function withSandbox<T>(
  backend: SandboxBackendConfig,
  use: (sandbox: Sandbox, directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "bench-sandbox-"));
  // Made by the sandbox, so that it belongs to whom its commands run as.
  const rootDir = join(directory, "workspace");
  const made = await createSandbox({ ...backend, rootDir });
  try {
    return await use(made, rootDir);
  } finally {
    await made.dispose({ remove: true });
    await rm(directory, { recursive: true });
  }
}

async function filesystem(sandbox: Sandbox): Promise<Figure[]> {
  const unshare = ["unshare", "-pf", "/bin/sh", "-c", "true"] as const;
  const permitted = spawnSync(unshare[0], unshare.slice(1)).status === 0;
  const { executed, shell, namespace } = await inTurns(rounds, {
    executed: () => sandbox.execute("true"),
    shell: () => run("/bin/sh", "-c", "true"),
    ...(permitted && { namespace: () => run(...unshare) }),
  });
  // Escapes are tracked without a namespace, so that one measurement stands for both.
  const name = "filesystem: execute('true')";
  return [
    { name, samples: executed, baseline: { name: "spawn of /bin/sh -c true", samples: shell }, aimRatio },
    ...(permitted
      ? [{ name, samples: executed, baseline: { name: "unshare -pf", samples: namespace }, aimRatio }]
      : []),
  ];
}

async function isolated(sandbox: Sandbox, directory: string): Promise<Figure[]> {
  const mounts = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", directory, directory];
  const { executed, bwrap, made } = await inTurns(rounds, {
    executed: () => sandbox.execute("true"),
    bwrap: () => run("bwrap", "--unshare-all", "--die-with-parent", ...mounts, "/bin/sh", "-c", "true"),
    made: async () => (await createSandbox({ type: "isolated", rootDir: directory })).dispose(),
  });
  const baseline = { name: "bwrap, for each command", samples: bwrap };
  return [
    { name: "isolated: execute('true')", samples: executed, baseline, aimRatio },
    { name: "isolated: a sandbox made and disposed", samples: made, baseline },
  ];
}

/** What any client of the engine's API does for one command, in the same container: make it, start it, hear it out, ask how it ended. */
async function docker(sandbox: Sandbox, host: string): Promise<Figure[]> {
  const container = sandbox.id.slice("docker:".length);
  const agent = new Agent({ keepAlive: true });
  const ask = async (method: string, path: string, body?: object): Promise<string> => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const asked = request({ socketPath: host.slice("unix://".length), agent, method, path, headers });
    asked.end(text);
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    const said = await readText(answer);
    if ((answer.statusCode ?? 500) >= 400) throw new Error(`${method} ${path}: ${said}`);
    return said;
  };
  const raw = async (): Promise<void> => {
    const command = { AttachStdout: true, AttachStderr: true, Cmd: ["/bin/sh", "-c", "true"] };
    const { Id } = JSON.parse(await ask("POST", `/containers/${container}/exec`, command)) as { Id: string };
    await ask("POST", `/exec/${Id}/start`, { Detach: false, Tty: false });
    const { ExitCode } = JSON.parse(await ask("GET", `/exec/${Id}/json`)) as { ExitCode: number };
    if (ExitCode !== 0) throw new Error(`The raw exec ended with ${ExitCode}.`);
  };
  const { executed, exec } = await inTurns(rounds, { executed: () => sandbox.execute("true"), exec: raw });
  agent.destroy();
  const baseline = { name: "docker exec by the engine's API", samples: exec };
  return [{ name: "docker: execute('true')", samples: executed, baseline, aimRatio }];
}

async function files(sandbox: Sandbox, directory: string): Promise<Figure[]> {
  const content = randomBytes(fileBytes);
  await writeFile(join(directory, "read"), content);
  const measured = await inTurns(fileRounds, {
    read: () => sandbox.files.read("read"),
    rawRead: () => readFile(join(directory, "read")),
    write: () => sandbox.files.write("write", content),
    atomicWrite: async () => {
      await writeFile(join(directory, "temporary"), content);
      await rename(join(directory, "temporary"), join(directory, "atomic-write"));
    },
    rawWrite: () => writeFile(join(directory, "raw-write"), content),
  });
  const write = { name: "files.write, 10 MB", samples: measured.write };
  return [
    {
      name: "files.read, 10 MB",
      samples: measured.read,
      baseline: { name: "fs.readFile", samples: measured.rawRead },
      aimRatio: fileAimRatio,
    },
    {
      ...write,
      baseline: { name: "fs.writeFile and fs.rename", samples: measured.atomicWrite },
      aimRatio: fileAimRatio,
    },
    // Readers never see half a file: what that costs is the file system's, and only told.
    { ...write, baseline: { name: "fs.writeFile in place", samples: measured.rawWrite } },
  ];
}

async function run(file: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${file} ended with ${code}.`);
}

/** One after the other, so that what else the machine does meets all of them alike. The first rounds warm up. */
async function inTurns<Name extends string>(
  count: number,
  operations: Readonly<Partial<Record<Name, () => Promise<unknown>>>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(operations) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  for (let round = -5; round < count; round++) {
    for (const name of names) {
      const started = performance.now();
      await operations[name]?.();
      if (round >= 0) samples[name].push(performance.now() - started);
    }
  }
  return samples;
}
