// Makes workspace/sales.csv, the same on every machine: `node make-sales.ts > workspace/sales.csv`.

const regions = ["North", "South", "East", "West", "Overseas"];
const channels = ["web", "shop", "phone"];
// Price in cents and how often it sells. Names with commas and quotes are quoted in the file, as exports do.
const products = [
  { name: "Desk lamp, brass", price: 7990, weight: 5 },
  { name: "Desk lamp, black", price: 5490, weight: 8 },
  { name: "Standing desk", price: 48900, weight: 2 },
  { name: "Office chair", price: 28950, weight: 3 },
  { name: 'Monitor arm 27"', price: 11900, weight: 5 },
  { name: "Notebook A5", price: 450, weight: 20 },
  { name: "Pencil set, 12", price: 875, weight: 14 },
  { name: "Cable tray", price: 1999, weight: 7 },
];
const rows = 3000;
const firstDay = Date.UTC(2025, 0, 1);
const days = 365;

/** A year of orders with a busy December, a few returns (negative quantities) and prices that rise in July. */
export function makeSales(): string {
  const random = generator(20_250_101);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
  const bag = products.flatMap((product) => Array.from({ length: product.weight }, () => product));
  const orders = Array.from({ length: rows }, () => {
    const day = Math.floor(random() * days);
    const extra = random() < 0.12 ? days - 31 + Math.floor(random() * 31) : day;
    const product = pick(bag);
    const quantity = product.price > 20_000 ? 1 + Math.floor(random() * 3) : 1 + Math.floor(random() * 12);
    return {
      day: extra,
      region: random() < 0.3 ? "North" : pick(regions),
      product: product.name,
      quantity: random() < 0.03 ? -1 : quantity,
      price: extra >= 181 ? Math.round(product.price * 1.04) : product.price,
      channel: pick(channels),
    };
  }).sort((a, b) => a.day - b.day);
  const lines = orders.map(({ day, region, product, quantity, price, channel }, index) => {
    const date = new Date(firstDay + day * 86_400_000).toISOString().slice(0, 10);
    return [`S-${10_001 + index}`, date, region, quoted(product), quantity, (price / 100).toFixed(2), channel].join(
      ",",
    );
  });
  return ["order_id,date,region,product,quantity,unit_price,channel", ...lines, ""].join("\n");
}

function quoted(field: string): string {
  return /[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

// A linear congruential generator (Numerical Recipes' constants): plain arithmetic that no engine computes differently.
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

if (process.argv[1] === import.meta.filename) process.stdout.write(makeSales());
