import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeWorkflowBundle } from "../src/temporal/bundled-workflows.ts";

// Part of the build: writes the workflows beside the module that names them (src/temporal/bundled-workflows.ts).

const { code } = await makeWorkflowBundle();
const file = join(import.meta.dirname, "../dist/temporal/workflow-bundle.js");
await writeFile(file, code);
console.log(`${file}: ${String(Math.round(code.length / 1024))} KiB`);
