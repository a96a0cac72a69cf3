// An MCP server over the stock that lies in `stock.json` of its working directory. Speaks over standard input and output.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

interface Item {
  readonly name: string;
  onHand: number;
  /** Ordered and not yet here. */
  onOrder: number;
}

interface Stock {
  readonly items: Readonly<Record<string, Item>>;
  /** What each delivery brought, by its number. */
  readonly deliveries: Record<string, Record<string, number>>;
}

const read = (): Stock => JSON.parse(readFileSync("stock.json", "utf8")) as Stock;

function write(stock: Stock): void {
  writeFileSync("stock.json.new", `${JSON.stringify(stock, undefined, 2)}\n`);
  renameSync("stock.json.new", "stock.json");
}

const say = (text: string): CallToolResult => ({ content: [{ type: "text", text }] });
const refuse = (text: string): CallToolResult => ({ ...say(text), isError: true });
const describe = (sku: string, { name, onHand, onOrder }: Item): string =>
  `${sku} (${name}): on hand ${onHand}, on order ${onOrder}`;

const server = new McpServer({ name: "warehouse", version: "1.0.0" });

server.registerTool(
  "look_up",
  {
    description: "Says how much of an item is on hand, and how much is on order and not yet here.",
    inputSchema: { sku: z.string() },
    annotations: { readOnlyHint: true },
  },
  ({ sku }) => {
    const item = read().items[sku];
    return item ? say(describe(sku, item)) : refuse(`There is no item ${sku}.`);
  },
);

server.registerTool(
  "book",
  {
    description: "Takes a quantity of an item into stock, no more than is on order. Once for each item of a delivery.",
    inputSchema: { delivery: z.string(), sku: z.string(), quantity: z.int().positive() },
    // Asked again, it answers the same: after a crash the call may be made once more.
    annotations: { idempotentHint: true, destructiveHint: false },
  },
  ({ delivery, sku, quantity }) => {
    const stock = read();
    const item = stock.items[sku];
    if (item === undefined) return refuse(`There is no item ${sku}.`);
    const booked = (stock.deliveries[delivery] ??= {});
    if (booked[sku] === quantity) return say(describe(sku, item));
    if (booked[sku] !== undefined) return refuse(`Of ${sku} delivery ${delivery} has brought ${booked[sku]} already.`);
    if (quantity > item.onOrder) return refuse(`Of ${sku} only ${item.onOrder} are on order.`);
    booked[sku] = quantity;
    item.onHand += quantity;
    item.onOrder -= quantity;
    write(stock);
    return say(describe(sku, item));
  },
);

await server.connect(new StdioServerTransport());
