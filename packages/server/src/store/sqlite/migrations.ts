import type { DatabaseSync } from "node:sqlite";
import { ServerError } from "../../errors.ts";

/** The schema's history. An entry that was released is never edited: add the next. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE resources (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    org TEXT NOT NULL,
    owner_scope INTEGER NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    labels TEXT NOT NULL,
    tags TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, id)
  ) STRICT;
  CREATE UNIQUE INDEX resources_by_address ON resources (kind, org, owner_scope, slug);
  CREATE INDEX resources_by_creation ON resources (kind, created_at, id);
  CREATE INDEX resources_by_parent ON resources (parent_id, kind) WHERE parent_id <> '';

  CREATE TABLE skill_versions (
    skill_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (skill_id, hash)
  ) STRICT;
  CREATE INDEX skill_versions_by_hash ON skill_versions (hash);
  CREATE TABLE skill_tags (
    skill_id TEXT NOT NULL,
    tag TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (skill_id, tag),
    FOREIGN KEY (skill_id, hash) REFERENCES skill_versions (skill_id, hash) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;

  -- The row that each status change touches holds no large value: bodies and snapshots stand apart.
  CREATE TABLE executions (
    id TEXT NOT NULL PRIMARY KEY,
    org TEXT NOT NULL,
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    session_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    phase INTEGER NOT NULL,
    error TEXT NOT NULL,
    started_at TEXT NOT NULL,
    completed_at TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    last_fence INTEGER NOT NULL DEFAULT 0,
    last_sequence INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX executions_by_creation ON executions (created_at, id);
  CREATE INDEX executions_by_session ON executions (session_id, created_at, id);
  CREATE INDEX executions_by_agent ON executions (agent_id, created_at, id);
  CREATE INDEX executions_live ON executions (id) WHERE ended = 0;
  CREATE TABLE execution_bodies (
    execution_id TEXT NOT NULL PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE,
    body BLOB NOT NULL
  ) STRICT;
  CREATE TABLE execution_snapshots (
    execution_id TEXT NOT NULL PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    status BLOB NOT NULL
  ) STRICT;
  CREATE TABLE execution_deltas (
    execution_id TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    delta BLOB NOT NULL,
    PRIMARY KEY (execution_id, revision)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tasks (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    queue TEXT NOT NULL,
    session_id TEXT NOT NULL,
    payload BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'leased', 'done')),
    fence INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    runner_id TEXT NOT NULL DEFAULT '',
    expires_at INTEGER NOT NULL DEFAULT 0,
    available_at INTEGER NOT NULL DEFAULT 0,
    cancel_reason TEXT,
    last_failure TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX tasks_waiting ON tasks (queue, position) WHERE state = 'waiting';
  CREATE INDEX tasks_leased ON tasks (expires_at) WHERE state = 'leased';
  CREATE INDEX tasks_open_by_session ON tasks (session_id, position) WHERE state <> 'done';
  `,
  `
  ALTER TABLE tasks ADD COLUMN pause_reason TEXT;
  ALTER TABLE tasks ADD COLUMN claim_id TEXT NOT NULL DEFAULT '';
  CREATE TABLE task_inbox (
    position INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (task_id, id)
  ) STRICT;
  CREATE INDEX task_inbox_in_order ON task_inbox (task_id, position);
  -- Here, so that no way to end a task can forget it.
  CREATE TRIGGER tasks_done AFTER UPDATE OF state ON tasks WHEN NEW.state = 'done' BEGIN
    DELETE FROM task_inbox WHERE task_id = NEW.id;
  END;
  `,
  `
  CREATE TABLE tool_calls (
    execution_id TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    call_key TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    class TEXT NOT NULL CHECK (class IN ('repeatable', 'once')),
    state TEXT NOT NULL CHECK (state IN ('open', 'finished', 'unknown')),
    fence INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    result BLOB,
    PRIMARY KEY (execution_id, call_key),
    CHECK ((state = 'finished') = (result IS NOT NULL))
  ) STRICT;
  `,
  `
  ALTER TABLE executions ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
  CREATE INDEX executions_by_org ON executions (org, created_at, id);
  `,
];

/** Brings the database to this program's schema. Throws `ServerError` `database-newer`. */
export function migrate(database: DatabaseSync, path: string): void {
  database.exec(
    "CREATE TABLE IF NOT EXISTS migrations (version INTEGER NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL) STRICT",
  );
  database.exec("BEGIN IMMEDIATE");
  try {
    const row = database.prepare("SELECT coalesce(max(version), 0) AS version FROM migrations").get();
    const current = Number(row?.["version"] ?? 0);
    if (current > MIGRATIONS.length) {
      throw new ServerError(
        "database-newer",
        `The database ${path} has schema version ${current}, this program knows up to ${MIGRATIONS.length}: ` +
          "use the newer stigmer that wrote it, or choose another directory with STIGMER_DATA_DIR.",
      );
    }
    const record = database.prepare("INSERT INTO migrations (version, applied_at) VALUES (?, ?)");
    MIGRATIONS.slice(current).forEach((migration, index) => {
      database.exec(migration);
      record.run(current + index + 1, new Date().toISOString());
    });
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
