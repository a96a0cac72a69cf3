// What of the system's C library starts a program without a copy of this process. It is reached by koffi, an optional package.
import { closeSync, constants } from "node:fs";
import { getSystemErrorName } from "node:util";
import { isMainThread } from "node:worker_threads";

export interface Libc {
  /**
   * Starts a program in a session of its own, with pipes to it, and signals as programs expect them. Answers its number and
   * this process's ends of the pipes. Throws what is wrong, in Node's words: posix_spawn waits until it was started.
   */
  spawn(file: string, args: readonly string[], options: SpawnOptions): Spawned;
  /** How a child ended, if it has: told once. `lost` when somebody else was told. */
  reap(pid: number): ChildEnd | "lost" | undefined;
}

export interface SpawnOptions {
  readonly cwd: string;
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** Whether it has a pipe to read from. It has /dev/null otherwise. */
  readonly stdin: boolean;
}

export interface Spawned {
  readonly pid: number;
  /** These are file descriptors that no other program inherits. The caller closes them. */
  readonly stdin: number | undefined;
  readonly stdout: number;
  readonly stderr: number;
}

/** By itself, or by a signal, of which there are more than have names. */
export type ChildEnd = { readonly code: number } | { readonly signal: number };

/** The same on every architecture that Node runs on, in glibc and in musl. */
const WNOHANG = 1;
const O_CLOEXEC = 0o2_000_000;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** Room for one of C's structures, of which the largest takes 336 bytes. */
const structureBytes = 1_024;

let loading: Promise<Libc | undefined> | undefined;

/**
 * Undefined where Node does as well (macOS), and where there is none: without koffi, in a libc that lacks a function (glibc
 * before 2.29), and in a worker thread, which hears of no child's end.
 */
export function loadLibc(): Promise<Libc | undefined> {
  loading ??= process.platform === "linux" && isMainThread ? bind().catch(() => undefined) : Promise.resolve(undefined);
  return loading;
}

async function bind(): Promise<Libc> {
  const { default: koffi } = await import("koffi");
  const c = koffi.load(null);
  const posixSpawn = c.func(
    "int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)",
  );
  const initActions = c.func("int posix_spawn_file_actions_init(void *actions)");
  const destroyActions = c.func("int posix_spawn_file_actions_destroy(void *actions)");
  const addOpen = c.func(
    "int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)",
  );
  const addDup2 = c.func("int posix_spawn_file_actions_adddup2(void *actions, int fd, int as)");
  const addChdir = c.func("int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)");
  const initAttributes = c.func("int posix_spawnattr_init(void *attributes)");
  const setFlags = c.func("int posix_spawnattr_setflags(void *attributes, short flags)");
  const setMask = c.func("int posix_spawnattr_setsigmask(void *attributes, void *signals)");
  const setDefault = c.func("int posix_spawnattr_setsigdefault(void *attributes, void *signals)");
  const pipe2 = c.func("int pipe2(_Out_ int *ends, int flags)");
  const waitpid = c.func("int waitpid(int pid, _Out_ int *status, int options)");

  const [attributes, actions] = [structure(), structure()];
  // A bit for each signal. glibc's own sigfillset leaves out two, which posix_spawn would then have ignored.
  const [every, none] = [structure().fill(0xff), structure()];
  const refused = [
    initAttributes(attributes),
    // Node ignores SIGPIPE, which programs don't expect.
    setDefault(attributes, every),
    setMask(attributes, none),
    setFlags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK),
  ].find((errno) => errno !== 0);
  if (refused !== undefined) throw new Error(`libc can't start programs: errno ${refused}`);

  return {
    spawn(file, args, { cwd, env, stdin }) {
      const check = (errno: number): void => {
        if (errno !== 0) throw new Error(`spawn ${file} ${getSystemErrorName(-errno)}`);
      };
      check(initActions(actions));
      const [theirs, ours]: [number[], number[]] = [[], []];
      /** Answers this process's end of it. */
      const addPipe = (as: 0 | 1 | 2): number => {
        const ends: [readEnd: number, writeEnd: number] = [0, 0];
        if (pipe2(ends, O_CLOEXEC) !== 0) check(koffi.errno());
        const [readEnd, writeEnd] = ends;
        const [their, our] = as === 0 ? [readEnd, writeEnd] : [writeEnd, readEnd];
        theirs.push(their);
        ours.push(our);
        check(addDup2(actions, their, as));
        return our;
      };
      try {
        if (!stdin) check(addOpen(actions, 0, "/dev/null", constants.O_RDONLY, 0));
        const pipes = { stdin: stdin ? addPipe(0) : undefined, stdout: addPipe(1), stderr: addPipe(2) };
        check(addChdir(actions, cwd));
        const pid: [number] = [0];
        check(posixSpawn(pid, file, actions, attributes, [file, ...args, null], [...env, null]));
        return { pid: pid[0], ...pipes };
      } catch (error) {
        for (const fd of ours) closeSync(fd);
        throw error;
      } finally {
        for (const fd of theirs) closeSync(fd);
        destroyActions(actions);
      }
    },
    reap(pid) {
      const status: [number] = [0];
      const answer: number = waitpid(pid, status, WNOHANG);
      if (answer === 0) return undefined;
      return answer === pid ? toEnd(status[0]) : "lost";
    },
  };
}

const structure = (): Buffer => Buffer.alloc(structureBytes);

/** As sys/wait.h has it: the signal in seven bits, the code in the eight after the next one. */
function toEnd(status: number): ChildEnd {
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff } : { signal };
}
