#!/usr/bin/env node
import { dirname } from "node:path";
import { collectWhenFull, hideSqliteWarning, keepHeapSmall, whyNodeIsUnfit } from "@stigmer/config/node-process";

// A report that Node is told to write of a crash would have the keys of the environment in it.
if (process.report !== undefined) process.report.excludeEnv = true;

// Before anything else is loaded: what an old Node lacks would be told by the name of a module.
const unfit = whyNodeIsUnfit(process.versions.node);
if (unfit) {
  process.stderr.write(`${unfit.line}\n`);
  process.exitCode = 1;
} else {
  hideSqliteWarning(process);
  keepHeapSmall();
  // Between runs it is done by `collect-when-idle.ts`.
  collectWhenFull();
  const { runProcess } = await import("./process/run-process.ts");
  await runProcess({ env: process.env, packageDir: dirname(import.meta.dirname) });
}
