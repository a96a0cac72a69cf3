import { writeFileSync } from "node:fs";
import { z } from "zod";
import { configFileSchema } from "../src/config-schema.ts";

// Writes config.schema.json, for editors that check config.yaml.

export const schemaFile: URL = new URL("../config.schema.json", import.meta.url);

/** The text of config.schema.json. */
export function renderSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(configFileSchema, { io: "input" }), null, 2)}\n`;
}

if (import.meta.main) writeFileSync(schemaFile, renderSchema());
