const symbols = { EUR: "€", USD: "$", GBP: "£" };

/** "1,234.50" → 123450. Refuses what is not an amount, instead of guessing. */
export function parseAmount(text) {
  const match = /^(-)?(\d{1,3}(?:,\d{3})*|\d+)(?:\.(\d{2}))?$/.exec(text.trim());
  if (!match) throw new RangeError(`not an amount: ${JSON.stringify(text)}`);
  const [, minus, whole, cents = "00"] = match;
  const amount = Number(whole.replaceAll(",", "")) * 100 + Number(cents);
  return minus ? -amount : amount;
}

/** 123450, "EUR" → "€1,234.50" */
export function formatAmount(cents, currency) {
  const sign = cents < 0 ? "-" : "";
  const absolute = Math.abs(cents);
  const whole = String(Math.floor(absolute / 100)).replace(/\B(?=(\d{3})+$)/g, ",");
  return `${sign}${symbols[currency] ?? `${currency} `}${whole}.${String(absolute % 100).padStart(2, "0")}`;
}

/** Rounds half away from zero, so that a credit note mirrors its invoice. */
export function roundCents(value) {
  return Math.sign(value) * Math.round(Math.abs(value));
}

/** Splits an amount by weights without losing a cent; the first parts get what is left over. */
export function allocate(cents, weights) {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum <= 0) throw new RangeError("weights must add up to more than zero");
  const parts = weights.map((weight) => Math.trunc((cents * weight) / sum));
  let rest = cents - parts.reduce((total, part) => total + part, 0);
  for (let index = 0; rest !== 0; index = (index + 1) % parts.length) {
    if (weights[index] === 0) continue;
    parts[index] += Math.sign(rest);
    rest -= Math.sign(rest);
  }
  return parts;
}
