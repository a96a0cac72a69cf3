import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { keepsCheckpointsInOrder } from "../__fixtures__/next-checkpoints-suite.ts";
import { createSqliteCheckpointer, type SqliteCheckpointer } from "./create-sqlite-checkpointer.ts";

const directory = mkdtempSync(join(tmpdir(), "checkpointer-"));
const opened: SqliteCheckpointer[] = [];
afterAll(() => {
  for (const saver of opened) saver.close();
  rmSync(directory, { recursive: true });
});

keepsCheckpointsInOrder(async () => {
  const saver = await createSqliteCheckpointer({ path: join(directory, "checkpoints.db") });
  opened.push(saver);
  return saver;
});
