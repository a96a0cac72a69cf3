import { writeFileSync } from "node:fs";
import { z } from "zod";
import { statusSchema } from "./status-schema.ts";

// Writes the JSON Schemas of what scripts read.

export const statusSchemaFile: URL = new URL("../local-status.schema.json", import.meta.url);

/** The text of local-status.schema.json. */
export function renderStatusSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(statusSchema), null, 2)}\n`;
}

if (import.meta.main) writeFileSync(statusSchemaFile, renderStatusSchema());
