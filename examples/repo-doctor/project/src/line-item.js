import { parseAmount } from "./money.js";

const columns = 4;

/** "Desk lamp; 12; 39.90; 19" → a line. `number` is where it stood, for messages. */
export function parseLine(text, number) {
  const fields = text.split(";").map((field) => field.trim());
  if (fields.length !== columns) throw new RangeError(`line ${number}: expected ${columns} fields, got ${fields.length}`);
  const [description, quantity, unitPrice, taxRate] = fields;
  if (!/^[1-9]\d*$/.test(quantity)) throw new RangeError(`line ${number}: quantity ${JSON.stringify(quantity)}`);
  if (!/^\d{1,2}$/.test(taxRate)) throw new RangeError(`line ${number}: tax rate ${JSON.stringify(taxRate)}`);
  return {
    description,
    quantity: Number(quantity),
    unitPrice: parseAmount(unitPrice),
    taxRate: Number(taxRate),
  };
}
