import type { Packed } from "./pack.ts";

/** Kilobytes (1,000 bytes). */
export interface SizeBudget {
  readonly packed: number;
  readonly unpacked: number;
}

/** Below this part of its budget a package lacks something, or its budget holds nothing any more. */
const LEAST = 0.5;

/** What a package's sizes are against its budget in `sizes.json`. */
export function sizeProblems(size: Pick<Packed, "packed" | "unpacked">, budget: SizeBudget | undefined): string[] {
  if (budget === undefined)
    return [`it has no budget: add ${describe(size)} and some room to tools/packages/sizes.json`];
  return (["packed", "unpacked"] as const).flatMap((which) => {
    const [is, may] = [size[which] / 1_000, budget[which]];
    const facts = `${which} it has ${is.toFixed(0)} kB, and its budget in tools/packages/sizes.json is ${may} kB`;
    if (is > may) return [`${facts}: see with tar -tv what grew; raise the budget if that is meant`];
    if (is < may * LEAST) return [`${facts}: something is missing, or the budget is to be lowered`];
    return [];
  });
}

function describe({ packed, unpacked }: Pick<Packed, "packed" | "unpacked">): string {
  return JSON.stringify({ packed: Math.ceil(packed / 1_000), unpacked: Math.ceil(unpacked / 1_000) });
}
