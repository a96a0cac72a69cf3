// A process that has an isolated sandbox with something running in it: `host.ts <rootDir> <command>`. Says when it runs.
import { createIsolatedSandbox } from "../index.ts";

const [rootDir = "", command = ""] = process.argv.slice(2);
const sandbox = await createIsolatedSandbox({ rootDir });
await sandbox.spawn(command, { onStdout: (text) => process.stdout.write(text) });
