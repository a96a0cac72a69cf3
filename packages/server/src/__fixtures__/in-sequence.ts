import type { PatchStatusInput, StatusDelta } from "@stigmer/protos/agentexecution/v1";

type Patch = Pick<PatchStatusInput, "executionId" | "fence" | "sequence"> & { readonly delta: StatusDelta };

/** Numbers what is sent as runners do: from 1 under each fence of each run. One that was refused is not counted. */
export function inSequence<T>(send: (patch: Patch) => Promise<T>): (patch: Omit<Patch, "sequence">) => Promise<T> {
  const sent = new Map<string, number>();
  return async (patch) => {
    const holder = `${patch.executionId} ${patch.fence}`;
    const sequence = (sent.get(holder) ?? 0) + 1;
    sent.set(holder, sequence);
    try {
      return await send({ ...patch, sequence });
    } catch (error) {
      if (sent.get(holder) === sequence) sent.set(holder, sequence - 1);
      throw error;
    }
  };
}
