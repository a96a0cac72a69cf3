// Migrations that bring tables into the order of their rows' positions, as `tail.ts` needs them.

/**
 * Runs by position. What belongs to a run has its position for a key, so that no second b-tree finds it; indexes of lists are
 * written for many rows at once; and a change of the status is a row of the log, the run's own is left alone.
 */
export const EXECUTIONS_IN_ORDER = `
  DROP TRIGGER execution_marks_inserted;
  DROP TRIGGER execution_marks_updated;
  DROP TRIGGER execution_marks_deleted;
  DROP INDEX executions_by_creation;
  DROP INDEX executions_by_session;
  DROP INDEX executions_by_agent;
  DROP INDEX executions_by_org;
  DROP INDEX executions_by_phase;
  DROP INDEX executions_by_org_and_phase;
  DROP INDEX executions_live;
  ALTER TABLE executions RENAME TO executions_before;
  ALTER TABLE execution_bodies RENAME TO execution_bodies_before;
  ALTER TABLE execution_snapshots RENAME TO execution_snapshots_before;
  ALTER TABLE execution_deltas RENAME TO execution_deltas_before;
  ALTER TABLE tool_calls RENAME TO tool_calls_before;

  -- revision, last_fence and last_sequence are those of the snapshot: what the log has is newer.
  CREATE TABLE executions (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    org TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
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
    ended INTEGER NOT NULL DEFAULT 0,
    indexed INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  INSERT INTO executions
  SELECT NULL, id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision,
    last_fence, last_sequence, ended, 1
  FROM executions_before ORDER BY created_at, id;
  CREATE INDEX executions_by_creation ON executions (created_at, id) WHERE indexed = 1;
  CREATE INDEX executions_by_session ON executions (session_id, created_at, id, org) WHERE indexed = 1;
  CREATE INDEX executions_by_agent ON executions (agent_id, created_at, id, org) WHERE indexed = 1;
  CREATE INDEX executions_by_org ON executions (org, created_at, id) WHERE indexed = 1;
  CREATE INDEX executions_by_phase ON executions (phase, created_at, id) WHERE indexed = 1;
  CREATE INDEX executions_by_org_and_phase ON executions (org, phase, created_at, id) WHERE indexed = 1;
  CREATE INDEX executions_live ON executions (session_id, created_at, id) WHERE indexed = 1 AND ended = 0;
  -- What this leaves is the tail.
  CREATE TRIGGER executions_indexed AFTER INSERT ON executions WHEN NEW.position % 64 = 0 BEGIN
    UPDATE executions SET indexed = 1 WHERE position > NEW.position - 64 AND indexed = 0;
  END;

  CREATE TABLE execution_bodies (
    execution INTEGER PRIMARY KEY REFERENCES executions (position) ON DELETE CASCADE,
    body BLOB NOT NULL,
    -- What the status is as long as there is no snapshot.
    first_status BLOB NOT NULL
  ) STRICT;
  INSERT INTO execution_bodies
  SELECT position, body, x'' FROM execution_bodies_before JOIN executions ON id = execution_id ORDER BY position;

  CREATE TABLE execution_snapshots (
    execution INTEGER PRIMARY KEY REFERENCES executions (position) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    status BLOB NOT NULL
  ) STRICT;
  INSERT INTO execution_snapshots
  SELECT position, old.revision, status FROM execution_snapshots_before AS old JOIN executions ON id = execution_id
  ORDER BY position;

  -- "place" is the run's position in the upper half and the revision in the lower one: a run's log lies together, and rows that
  -- fit in a page stay in one, which they would not in a table that has no rowid.
  CREATE TABLE execution_deltas (
    place INTEGER PRIMARY KEY,
    fence INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    delta BLOB NOT NULL
  ) STRICT;
  INSERT INTO execution_deltas
  SELECT (position << 32) + old.revision, last_fence, last_sequence, delta
  FROM execution_deltas_before AS old JOIN executions ON id = execution_id ORDER BY 1;
  CREATE TRIGGER execution_deltas_deleted AFTER DELETE ON executions BEGIN
    DELETE FROM execution_deltas WHERE place BETWEEN OLD.position << 32 AND (OLD.position << 32) + 4294967295;
  END;

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
  INSERT INTO tool_calls SELECT * FROM tool_calls_before;

  DROP TABLE execution_bodies_before;
  DROP TABLE execution_snapshots_before;
  DROP TABLE execution_deltas_before;
  DROP TABLE tool_calls_before;
  DROP TABLE executions_before;

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
  `;

/** The audit log and resources by position, for the same reason. */
export const LISTS_IN_ORDER = `
  DROP INDEX audit_entries_by_org;
  DROP INDEX audit_entries_by_principal;
  DROP INDEX audit_entries_by_kind;
  DROP INDEX audit_entries_by_resource;
  ALTER TABLE audit_entries RENAME TO audit_entries_before;
  CREATE TABLE audit_entries (
    position INTEGER PRIMARY KEY,
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
    indexed INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  INSERT INTO audit_entries
  SELECT NULL, created_at, id, principal_id, org, role, method, resource_kind, resource_id, code, client_address, trace_id, 1
  FROM audit_entries_before ORDER BY created_at, id;
  DROP TABLE audit_entries_before;
  CREATE INDEX audit_entries_by_creation ON audit_entries (created_at, id) WHERE indexed = 1;
  CREATE INDEX audit_entries_by_org ON audit_entries (org, created_at, id) WHERE indexed = 1;
  CREATE INDEX audit_entries_by_principal ON audit_entries (principal_id, org, created_at, id) WHERE indexed = 1;
  CREATE INDEX audit_entries_by_kind ON audit_entries (resource_kind, org, created_at, id) WHERE indexed = 1;
  CREATE INDEX audit_entries_by_resource ON audit_entries (resource_id, created_at, id)
    WHERE indexed = 1 AND resource_id <> '';
  CREATE TRIGGER audit_entries_indexed AFTER INSERT ON audit_entries WHEN NEW.position % 64 = 0 BEGIN
    UPDATE audit_entries SET indexed = 1 WHERE position > NEW.position - 64 AND indexed = 0;
  END;

  DROP TRIGGER resource_marks_inserted;
  DROP TRIGGER resource_marks_updated;
  DROP TRIGGER resource_marks_deleted;
  DROP TRIGGER resources_grandparent_inserted;
  DROP TRIGGER resources_grandparent_updated;
  DROP TRIGGER resources_grandparent_deleted;
  DROP INDEX resources_by_address;
  DROP INDEX resources_by_creation;
  DROP INDEX resources_by_org;
  DROP INDEX resources_by_parent;
  DROP INDEX resources_by_grandparent;
  DROP INDEX resources_with_parent;
  ALTER TABLE resources RENAME TO resources_before;
  -- The body comes last, so that nobody reads a large one for what stands behind it.
  CREATE TABLE resources (
    position INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    org TEXT NOT NULL,
    owner_scope INTEGER NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    grandparent_id TEXT NOT NULL DEFAULT '',
    labels TEXT NOT NULL,
    tags TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    indexed INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL,
    -- In this order it also finds a parent, of which a child knows the id alone.
    UNIQUE (id, kind)
  ) STRICT;
  INSERT INTO resources
  SELECT NULL, kind, id, org, owner_scope, slug, name, parent_id, grandparent_id, labels, tags, version, created_at, updated_at,
    1, body
  FROM resources_before ORDER BY created_at, id;
  DROP TABLE resources_before;
  CREATE UNIQUE INDEX resources_by_address ON resources (kind, org, owner_scope, slug);
  CREATE INDEX resources_by_creation ON resources (kind, created_at, id) WHERE indexed = 1;
  CREATE INDEX resources_by_org ON resources (kind, org, created_at, id) WHERE indexed = 1;
  CREATE INDEX resources_by_parent ON resources (parent_id, kind, created_at, id, org)
    WHERE indexed = 1 AND parent_id <> '';
  CREATE INDEX resources_by_grandparent ON resources (grandparent_id, kind, created_at, id, org)
    WHERE indexed = 1 AND grandparent_id <> '';
  CREATE TRIGGER resources_indexed AFTER INSERT ON resources WHEN NEW.position % 64 = 0 BEGIN
    UPDATE resources SET indexed = 1 WHERE position > NEW.position - 64 AND indexed = 0;
  END;

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

  -- Children are found by their index, and in the tail: that of before the new row, which may be what ends it, by a trigger that fires
  -- before or after this one.
  CREATE TRIGGER resources_grandparent_inserted AFTER INSERT ON resources WHEN NEW.parent_id <> '' BEGIN
    UPDATE resources SET grandparent_id = coalesce(
      (SELECT parent.parent_id FROM resources AS parent WHERE parent.id = NEW.parent_id AND parent.parent_id <> ''), ''
    ) WHERE position = NEW.position;
    UPDATE resources SET grandparent_id = NEW.parent_id WHERE indexed = 1 AND parent_id = NEW.id AND parent_id <> '';
    UPDATE resources SET grandparent_id = NEW.parent_id WHERE parent_id = NEW.id
      AND position > (NEW.position - 1) / 64 * 64 AND indexed = 0;
  END;
  CREATE TRIGGER resources_grandparent_updated AFTER UPDATE OF parent_id ON resources WHEN NEW.parent_id <> OLD.parent_id BEGIN
    UPDATE resources SET grandparent_id = coalesce(
      (SELECT parent.parent_id FROM resources AS parent WHERE parent.id = NEW.parent_id AND parent.parent_id <> ''), ''
    ) WHERE position = NEW.position;
    UPDATE resources SET grandparent_id = NEW.parent_id WHERE indexed = 1 AND parent_id = NEW.id AND parent_id <> '';
    UPDATE resources SET grandparent_id = NEW.parent_id WHERE parent_id = NEW.id
      AND position > (SELECT max(position) FROM resources) / 64 * 64 AND indexed = 0;
  END;
  CREATE TRIGGER resources_grandparent_deleted AFTER DELETE ON resources WHEN OLD.parent_id <> '' BEGIN
    UPDATE resources SET grandparent_id = '' WHERE indexed = 1 AND parent_id = OLD.id AND parent_id <> '';
    UPDATE resources SET grandparent_id = '' WHERE parent_id = OLD.id
      AND position > (SELECT max(position) FROM resources) / 64 * 64 AND indexed = 0;
  END;
  `;

/**
 * The log of all runs in the order in which their changes came. Where a run's lay together, each was put between those of its
 * neighbours, three pages of which SQLite fills anew for a page that is full; at the end of the table it writes one. A run that
 * has ended may have a log from here on, which programs before would not read.
 */
export const LOG_IN_ORDER = `
  DROP TRIGGER execution_deltas_deleted;
  ALTER TABLE execution_deltas RENAME TO execution_deltas_before;
  CREATE TABLE execution_deltas (
    place INTEGER PRIMARY KEY,
    execution INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    delta BLOB NOT NULL
  ) STRICT;
  INSERT INTO execution_deltas (execution, revision, fence, sequence, delta)
  SELECT place >> 32, place & 4294967295, fence, sequence, delta FROM execution_deltas_before ORDER BY place;
  DROP TABLE execution_deltas_before;
  CREATE UNIQUE INDEX execution_deltas_by_run ON execution_deltas (execution, revision);
  CREATE TRIGGER execution_deltas_deleted AFTER DELETE ON executions BEGIN
    DELETE FROM execution_deltas WHERE execution = OLD.position;
  END;
`;
