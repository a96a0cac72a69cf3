import type { DatabaseSync } from "node:sqlite";
import { ServerError } from "../../errors.ts";
import { EXECUTIONS_IN_ORDER, LISTS_IN_ORDER, LOG_IN_ORDER } from "./tables-in-order.ts";

/**
 * The schema's history. An entry that was released is never edited: add the next.
 * @internal
 */
export const MIGRATIONS: readonly string[] = [
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
  `
  -- A page of a list costs the same however many rows there are: each way to narrow it has an index in the list's order.
  CREATE INDEX executions_by_phase ON executions (phase, created_at, id);
  CREATE INDEX executions_by_org_and_phase ON executions (org, phase, created_at, id);
  -- The organisation at the end lets an index count by itself.
  DROP INDEX executions_by_session;
  CREATE INDEX executions_by_session ON executions (session_id, created_at, id, org);
  DROP INDEX executions_by_agent;
  CREATE INDEX executions_by_agent ON executions (agent_id, created_at, id, org);
  DROP INDEX executions_live;
  CREATE INDEX executions_live ON executions (session_id, created_at, id) WHERE ended = 0;

  CREATE INDEX resources_by_org ON resources (kind, org, created_at, id);
  DROP INDEX resources_by_parent;
  CREATE INDEX resources_by_parent ON resources (parent_id, kind, created_at, id, org) WHERE parent_id <> '';

  -- Tags and labels, one row each: a tag as its JSON, a label as the JSON of its pair. Triggers keep them, so that no way to
  -- write can forget it.
  CREATE TABLE execution_marks (
    mark TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    id TEXT NOT NULL,
    org TEXT NOT NULL,
    PRIMARY KEY (mark, created_at, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX execution_marks_by_org ON execution_marks (mark, org, created_at, id);
  CREATE TRIGGER execution_marks_inserted AFTER INSERT ON executions WHEN NEW.tags <> '[]' OR NEW.labels <> '{}' BEGIN
    INSERT INTO execution_marks (mark, created_at, id, org)
    SELECT json_quote(value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.tags)
    UNION SELECT json_array(key, value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.labels);
  END;
  CREATE TRIGGER execution_marks_updated AFTER UPDATE OF tags, labels ON executions
  WHEN NEW.tags <> OLD.tags OR NEW.labels <> OLD.labels BEGIN
    DELETE FROM execution_marks WHERE created_at = OLD.created_at AND id = OLD.id AND mark IN (
      SELECT json_quote(value) FROM json_each(OLD.tags) UNION SELECT json_array(key, value) FROM json_each(OLD.labels)
    );
    INSERT INTO execution_marks (mark, created_at, id, org)
    SELECT json_quote(value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.tags)
    UNION SELECT json_array(key, value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.labels);
  END;
  CREATE TRIGGER execution_marks_deleted AFTER DELETE ON executions WHEN OLD.tags <> '[]' OR OLD.labels <> '{}' BEGIN
    DELETE FROM execution_marks WHERE created_at = OLD.created_at AND id = OLD.id AND mark IN (
      SELECT json_quote(value) FROM json_each(OLD.tags) UNION SELECT json_array(key, value) FROM json_each(OLD.labels)
    );
  END;
  INSERT INTO execution_marks (mark, created_at, id, org)
  SELECT json_quote(value), executions.created_at, executions.id, executions.org FROM executions, json_each(executions.tags)
  UNION SELECT json_array(key, value), executions.created_at, executions.id, executions.org FROM executions, json_each(executions.labels);

  CREATE TABLE resource_marks (
    kind TEXT NOT NULL,
    mark TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    id TEXT NOT NULL,
    org TEXT NOT NULL,
    PRIMARY KEY (kind, mark, created_at, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX resource_marks_by_org ON resource_marks (kind, mark, org, created_at, id);
  CREATE TRIGGER resource_marks_inserted AFTER INSERT ON resources WHEN NEW.tags <> '[]' OR NEW.labels <> '{}' BEGIN
    INSERT INTO resource_marks (kind, mark, created_at, id, org)
    SELECT NEW.kind, json_quote(value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.tags)
    UNION SELECT NEW.kind, json_array(key, value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.labels);
  END;
  CREATE TRIGGER resource_marks_updated AFTER UPDATE OF tags, labels, org, created_at ON resources
  WHEN NEW.tags <> OLD.tags OR NEW.labels <> OLD.labels OR NEW.org <> OLD.org OR NEW.created_at <> OLD.created_at BEGIN
    DELETE FROM resource_marks WHERE kind = OLD.kind AND created_at = OLD.created_at AND id = OLD.id AND mark IN (
      SELECT json_quote(value) FROM json_each(OLD.tags) UNION SELECT json_array(key, value) FROM json_each(OLD.labels)
    );
    INSERT INTO resource_marks (kind, mark, created_at, id, org)
    SELECT NEW.kind, json_quote(value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.tags)
    UNION SELECT NEW.kind, json_array(key, value), NEW.created_at, NEW.id, NEW.org FROM json_each(NEW.labels);
  END;
  CREATE TRIGGER resource_marks_deleted AFTER DELETE ON resources WHEN OLD.tags <> '[]' OR OLD.labels <> '{}' BEGIN
    DELETE FROM resource_marks WHERE kind = OLD.kind AND created_at = OLD.created_at AND id = OLD.id AND mark IN (
      SELECT json_quote(value) FROM json_each(OLD.tags) UNION SELECT json_array(key, value) FROM json_each(OLD.labels)
    );
  END;
  INSERT INTO resource_marks (kind, mark, created_at, id, org)
  SELECT resources.kind, json_quote(value), resources.created_at, resources.id, resources.org FROM resources, json_each(resources.tags)
  UNION SELECT resources.kind, json_array(key, value), resources.created_at, resources.id, resources.org FROM resources, json_each(resources.labels);

  -- The parent's parent stands in the row itself: the sessions of an agent hang at its instances, each in an order of its own.
  CREATE INDEX resources_with_parent ON resources (id) WHERE parent_id <> '';
  ALTER TABLE resources ADD COLUMN grandparent_id TEXT NOT NULL DEFAULT '';
  UPDATE resources SET grandparent_id = coalesce(
    (SELECT parent.parent_id FROM resources AS parent WHERE parent.id = resources.parent_id AND parent.parent_id <> ''), ''
  ) WHERE parent_id <> '';
  CREATE INDEX resources_by_grandparent ON resources (grandparent_id, kind, created_at, id, org)
    WHERE grandparent_id <> '';
  CREATE TRIGGER resources_grandparent_inserted AFTER INSERT ON resources WHEN NEW.parent_id <> '' BEGIN
    UPDATE resources SET grandparent_id = coalesce(
      (SELECT parent.parent_id FROM resources AS parent WHERE parent.id = NEW.parent_id AND parent.parent_id <> ''), ''
    ) WHERE kind = NEW.kind AND id = NEW.id;
    UPDATE resources SET grandparent_id = NEW.parent_id WHERE parent_id = NEW.id AND parent_id <> '';
  END;
  CREATE TRIGGER resources_grandparent_updated AFTER UPDATE OF parent_id ON resources WHEN NEW.parent_id <> OLD.parent_id BEGIN
    UPDATE resources SET grandparent_id = coalesce(
      (SELECT parent.parent_id FROM resources AS parent WHERE parent.id = NEW.parent_id AND parent.parent_id <> ''), ''
    ) WHERE kind = NEW.kind AND id = NEW.id;
    UPDATE resources SET grandparent_id = NEW.parent_id WHERE parent_id = NEW.id AND parent_id <> '';
  END;
  CREATE TRIGGER resources_grandparent_deleted AFTER DELETE ON resources WHEN OLD.parent_id <> '' BEGIN
    UPDATE resources SET grandparent_id = '' WHERE parent_id = OLD.id AND parent_id <> '';
  END;
  `,
  `
  -- What the database knows of itself.
  CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE tasks ADD COLUMN orders INTEGER NOT NULL DEFAULT 0;
  -- Who keeps leases that don't end by themselves, and until when they are surely there.
  CREATE TABLE task_holders (id TEXT NOT NULL PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  -- Found by retention, which forgets them.
  CREATE INDEX tasks_cleaned_up ON tasks (created_at) WHERE kind = 'cleanup-sandbox' AND state = 'done';
  `,
  `
  -- Organizations share runners: what each has waiting and in work is found by an index, whatever others have.
  ALTER TABLE tasks ADD COLUMN org TEXT NOT NULL DEFAULT '';
  UPDATE tasks SET org = coalesce((SELECT executions.org FROM executions WHERE executions.id = tasks.id), '')
    WHERE state <> 'done' AND kind = 'execution';
  CREATE INDEX tasks_runnable ON tasks (queue, org, position)
    WHERE state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL;
  CREATE INDEX tasks_live_by_org ON tasks (org) WHERE state = 'leased';
  -- What few of those that wait are, however many do.
  CREATE INDEX tasks_to_cancel ON tasks (position) WHERE state = 'waiting' AND cancel_reason IS NOT NULL;
  CREATE INDEX tasks_tried ON tasks (attempt) WHERE state = 'waiting' AND attempt > 0;
  CREATE INDEX tasks_later ON tasks (available_at) WHERE state = 'waiting' AND available_at > 0 AND pause_reason IS NULL;
  `,
  `
  -- Who did what. Each way to narrow the list has an index in its order.
  CREATE TABLE audit_entries (
    created_at INTEGER NOT NULL,
    id TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    org TEXT NOT NULL,
    role TEXT NOT NULL,
    method TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    code TEXT NOT NULL,
    client_address TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    PRIMARY KEY (created_at, id)
  ) STRICT;
  CREATE INDEX audit_entries_by_org ON audit_entries (org, created_at, id);
  CREATE INDEX audit_entries_by_principal ON audit_entries (principal_id, org, created_at, id);
  CREATE INDEX audit_entries_by_kind ON audit_entries (resource_kind, org, created_at, id);
  CREATE INDEX audit_entries_by_resource ON audit_entries (resource_id, created_at, id) WHERE resource_id <> '';
  `,
  `
  -- Each is a page more to write whenever a task changes hands. Those that wait are found among the open ones, and of those that
  -- are leased there are no more than runners have slots.
  DROP INDEX tasks_waiting;
  DROP INDEX tasks_leased;
  `,
  `
  -- What "orders" was when the run was stored as one that rests by itself; as long as it is that, nobody has answered.
  ALTER TABLE tasks ADD COLUMN orders_at_rest INTEGER;
  `,
  EXECUTIONS_IN_ORDER,
  LISTS_IN_ORDER,
  LOG_IN_ORDER,
];

/** The version of the schema that this program makes and knows. */
export const SCHEMA_VERSION: number = MIGRATIONS.length;

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
