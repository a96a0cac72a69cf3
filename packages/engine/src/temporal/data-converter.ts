import { fileURLToPath } from "node:url";
import type { DataConverter } from "@temporalio/common";

const fileName = import.meta.url.endsWith(".ts") ? "payload-converter.ts" : "payload-converter.js";

/**
 * How messages of ours travel; for clients and workers of either side. Named by its path, as Temporal wants it: the isolate that
 * workflows run in has the same converter in its bundle.
 */
export const dataConverter: DataConverter = {
  payloadConverterPath: fileURLToPath(new URL(fileName, import.meta.url)),
};
