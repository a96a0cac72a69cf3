import { roundCents } from "./money.js";

/** The best tier that a quantity reaches, or undefined. Tiers may come in any order. */
export function tierFor(quantity, tiers) {
  let best;
  for (const tier of tiers) {
    if (quantity > tier.from && (best === undefined || tier.from > best.from)) best = tier;
  }
  return best;
}

/** What a line's volume takes off its price, in cents; never negative zero. */
export function volumeDiscount(line, tiers) {
  const tier = tierFor(line.quantity, tiers);
  return tier === undefined ? 0 : roundCents((line.quantity * line.unitPrice * tier.percent) / 100);
}
