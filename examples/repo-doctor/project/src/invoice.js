import { volumeDiscount } from "./discount.js";
import { formatAmount } from "./money.js";
import { taxByRate } from "./tax.js";

export { parseLine } from "./line-item.js";

export function buildInvoice({ number, currency, lines, tiers = [] }) {
  if (lines.length === 0) throw new RangeError(`invoice ${number} has no lines`);
  const priced = lines.map((line) => {
    const gross = line.quantity * line.unitPrice;
    const discount = volumeDiscount(line, tiers);
    return { ...line, gross, discount, net: gross - discount };
  });
  const taxes = taxByRate(priced);
  const net = sum(priced.map((line) => line.net));
  const tax = sum(taxes.map((entry) => entry.tax));
  return { number, currency, lines: priced, taxes, net, tax, total: net + tax };
}

/** The same invoice with every amount turned round: both together are zero. */
export function creditNote(invoice) {
  const turn = (value) => (value === 0 ? 0 : -value);
  return {
    ...invoice,
    number: `${invoice.number}-CN`,
    lines: invoice.lines.map((line) => ({
      ...line,
      gross: turn(line.gross),
      discount: turn(line.discount),
      net: turn(line.net),
    })),
    taxes: invoice.taxes.map((entry) => ({ ...entry, base: turn(entry.base), tax: turn(entry.tax) })),
    net: turn(invoice.net),
    tax: turn(invoice.tax),
    total: turn(invoice.total),
  };
}

export function renderInvoice(invoice) {
  const amount = (cents) => formatAmount(cents, invoice.currency);
  return [
    `Invoice ${invoice.number}`,
    ...invoice.lines.map((line) => `${line.quantity} x ${line.description}: ${amount(line.net)}`),
    ...invoice.taxes.map(({ rate, base, tax }) => `Tax ${rate}% on ${amount(base)}: ${amount(tax)}`),
    `Total: ${amount(invoice.total)}`,
  ].join("\n");
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
