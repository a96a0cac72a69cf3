// Restores a backup, and is killed just before its n-th change of the filesystem.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const [file = "", dataDir = "", changes = ""] = process.argv.slice(2);
let left = Number(changes);

function dyingBefore<F extends (...args: never[]) => unknown>(change: F): F {
  return ((...args: Parameters<F>) => {
    if (--left < 0) process.kill(process.pid, "SIGKILL");
    return change(...args);
  }) as F;
}

fs.renameSync = dyingBefore(fs.renameSync);
fs.mkdirSync = dyingBefore(fs.mkdirSync) as typeof fs.mkdirSync;
fs.rmSync = dyingBefore(fs.rmSync);
fs.copyFileSync = dyingBefore(fs.copyFileSync);
for (const name of ["mkdir", "open", "writeFile"] as const) {
  fs.promises[name] = dyingBefore(fs.promises[name] as (...args: never[]) => unknown) as never;
}
syncBuiltinESMExports();

const { restoreBackup } = await import("../restore-backup.ts");
await restoreBackup({ file, dataDir, replace: true });
