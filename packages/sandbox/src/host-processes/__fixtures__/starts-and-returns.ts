// Starts a process in this directory, waits for nothing, and writes down how it ended.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadStartProcess } from "../start-process.ts";

const [cwd = ""] = process.argv.slice(2);
const start = await loadStartProcess();
const { exited, stdout, stderr } = start("/bin/sh", ["-c", "sleep 0.3; exit 3"], { cwd, env: { PATH: "/bin:/usr/bin" } });
stdout.unref();
stderr.unref();
void exited.then((end) => writeFileSync(join(cwd, "told"), JSON.stringify(end)));
