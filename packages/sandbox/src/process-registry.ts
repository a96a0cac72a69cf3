// The background processes of one sandbox, in the order they were started.
import type { SandboxProcess } from "./sandbox.ts";

/** Those that ended are listed until so many others have. */
const mostEnded = 100;

export interface ProcessRegistry {
  /** An id that none has had. */
  nextId(): string;
  add(process: SandboxProcess): void;
  list(): readonly SandboxProcess[];
  get(id: string): SandboxProcess | undefined;
}

export function createProcessRegistry(): ProcessRegistry {
  const processes = new Map<string, SandboxProcess>();
  let started = 0;

  const forgetOldest = (): void => {
    // Asking a process whether it runs can cost a look at all processes of the machine.
    if (processes.size <= mostEnded) return;
    const ended = [...processes.values()].filter(({ running }) => !running);
    for (const { id } of ended.slice(0, Math.max(0, ended.length - mostEnded))) processes.delete(id);
  };
  return {
    nextId: () => `p${++started}`,
    add(process) {
      processes.set(process.id, process);
      forgetOldest();
    },
    list() {
      forgetOldest();
      return [...processes.values()].sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime());
    },
    get: (id) => processes.get(id),
  };
}
