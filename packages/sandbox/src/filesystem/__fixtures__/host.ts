// A process that has a sandbox, and leaves it to others to end what it started: `host.ts <rootDir> <command>…`. All commands
// but the last are waited for; when the last one is "", the process ends by itself.
import { createFilesystemSandbox } from "../index.ts";

const [rootDir = "", ...commands] = process.argv.slice(2);
const last = commands.pop() ?? "";
const sandbox = await createFilesystemSandbox({ rootDir });
for (const command of commands) {
  const { exitCode, stderr } = await sandbox.execute(command);
  if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${stderr}`);
}
if (last !== "") await sandbox.execute(last, { timeoutMs: 600_000 });
