/** One step of the schema's history. */
export type Migration = SchemaStep | IndexStep;

interface Step {
  /**
   * The oldest version whose programs go on working with the schema that this makes, beside servers that made it: what they
   * read is still there, and what they write is still enough. A step that only adds (tables, indexes, columns with a default)
   * keeps the number of the step before. What is taken away is first not used any more, by a released program: that program's
   * version is the number then, and the step waits until no server of an earlier one is left.
   */
  readonly worksWith: number;
}

/** One transaction, short: what it locks, others wait for. */
export interface SchemaStep extends Step {
  readonly sql: string;
  readonly indexes?: never;
}

/** Indexes of tables that may be large, built beside those who write; by name, what stands behind `CREATE INDEX name`. */
export interface IndexStep extends Step {
  readonly indexes: Readonly<Record<string, string>>;
  readonly sql?: never;
}

/** The schema's history; the version is its length. An entry that was released is never edited: add the next. */
export const MIGRATIONS: readonly Migration[] = [
  {
    worksWith: 1,
    sql: `
  CREATE TABLE resources (
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    org TEXT COLLATE "C" NOT NULL,
    owner_scope INTEGER NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C" NOT NULL,
    -- The parent's parent: the sessions of an agent hang at its instances, each in an order of its own. Kept by triggers.
    grandparent_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    labels JSONB NOT NULL,
    tags JSONB NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (kind, id)
  );
  CREATE UNIQUE INDEX resources_by_address ON resources (kind, org, owner_scope, slug);
  CREATE INDEX resources_by_creation ON resources (kind, created_at, id);
  CREATE INDEX resources_by_org ON resources (kind, org, created_at, id);
  CREATE INDEX resources_with_parent ON resources (id) WHERE parent_id <> '';
  CREATE INDEX resources_by_parent ON resources (parent_id, kind, created_at, id) WHERE parent_id <> '';
  CREATE INDEX resources_by_grandparent ON resources (grandparent_id, kind, created_at, id) WHERE grandparent_id <> '';
  -- Hashes of what stands in them: a tag may be longer than an index can hold. What is new goes to its place at once, so that
  -- serializable transactions lock no more of the index than they read.
  CREATE INDEX resources_by_tags ON resources USING gin (tags jsonb_path_ops) WITH (fastupdate = off);
  CREATE INDEX resources_by_labels ON resources USING gin (labels jsonb_path_ops) WITH (fastupdate = off);

  CREATE FUNCTION resources_find_grandparent() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    NEW.grandparent_id := coalesce(
      (SELECT parent.parent_id FROM resources AS parent WHERE parent.id = NEW.parent_id AND parent.parent_id <> '' LIMIT 1), '');
    RETURN NEW;
  END $$;
  CREATE FUNCTION resources_tell_grandchildren() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF TG_OP = 'DELETE' THEN
      UPDATE resources SET grandparent_id = '' WHERE parent_id = OLD.id AND parent_id <> '' AND grandparent_id <> '';
    ELSE
      UPDATE resources SET grandparent_id = NEW.parent_id
      WHERE parent_id = NEW.id AND parent_id <> '' AND grandparent_id <> NEW.parent_id;
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER resources_grandparent_inserted BEFORE INSERT ON resources FOR EACH ROW WHEN (NEW.parent_id <> '')
    EXECUTE FUNCTION resources_find_grandparent();
  CREATE TRIGGER resources_grandparent_updated BEFORE UPDATE OF parent_id ON resources FOR EACH ROW
    WHEN (NEW.parent_id <> OLD.parent_id) EXECUTE FUNCTION resources_find_grandparent();
  CREATE TRIGGER resources_parent_inserted AFTER INSERT ON resources FOR EACH ROW WHEN (NEW.parent_id <> '')
    EXECUTE FUNCTION resources_tell_grandchildren();
  CREATE TRIGGER resources_parent_updated AFTER UPDATE OF parent_id ON resources FOR EACH ROW
    WHEN (NEW.parent_id <> OLD.parent_id) EXECUTE FUNCTION resources_tell_grandchildren();
  CREATE TRIGGER resources_parent_deleted AFTER DELETE ON resources FOR EACH ROW WHEN (OLD.parent_id <> '')
    EXECUTE FUNCTION resources_tell_grandchildren();

  CREATE TABLE skill_versions (
    skill_id TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (skill_id, hash)
  );
  CREATE INDEX skill_versions_by_hash ON skill_versions (hash);
  CREATE TABLE skill_tags (
    skill_id TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (skill_id, tag),
    FOREIGN KEY (skill_id, hash) REFERENCES skill_versions (skill_id, hash) ON DELETE CASCADE
  );
  CREATE INDEX skill_tags_by_version ON skill_tags (skill_id, hash);

  -- In pieces, so that no message is huge. They are compressed already.
  CREATE TABLE artifacts (key TEXT COLLATE "C" NOT NULL PRIMARY KEY, size BIGINT NOT NULL);
  CREATE TABLE artifact_pieces (
    key TEXT COLLATE "C" NOT NULL REFERENCES artifacts (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (key, position)
  );
  ALTER TABLE artifact_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;

  -- The row that each status change touches holds no large value: bodies and snapshots stand apart. What a change touches is in
  -- no index but at the run's end, and its page has room for the next version of it: so a change writes one page, and leaves
  -- nothing for a vacuum to find.
  CREATE TABLE executions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    org TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    labels JSONB NOT NULL,
    tags JSONB NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    agent_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    phase INTEGER NOT NULL,
    error TEXT COLLATE "C" NOT NULL,
    started_at TEXT COLLATE "C" NOT NULL,
    completed_at TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    last_fence BIGINT NOT NULL DEFAULT 0,
    last_sequence BIGINT NOT NULL DEFAULT 0,
    ended BOOLEAN NOT NULL DEFAULT FALSE
  ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
  CREATE INDEX executions_by_creation ON executions (created_at, id);
  CREATE INDEX executions_by_org ON executions (org, created_at, id);
  CREATE INDEX executions_by_session ON executions (session_id, created_at, id);
  CREATE INDEX executions_by_agent ON executions (agent_id, created_at, id);
  CREATE INDEX executions_live ON executions (created_at, id) WHERE NOT ended;
  CREATE INDEX executions_by_tags ON executions USING gin (tags jsonb_path_ops) WITH (fastupdate = off);
  CREATE INDEX executions_by_labels ON executions USING gin (labels jsonb_path_ops) WITH (fastupdate = off);
  CREATE TABLE execution_bodies (
    execution_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE,
    body BYTEA NOT NULL
  );
  CREATE TABLE execution_snapshots (
    execution_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    status BYTEA NOT NULL
  ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
  CREATE TABLE execution_deltas (
    execution_id TEXT COLLATE "C" NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    delta BYTEA NOT NULL,
    PRIMARY KEY (execution_id, revision)
  ) WITH (autovacuum_vacuum_scale_factor = 0.05);

  -- A heartbeat changes no index either: those who hold a lease are few, and are looked through.
  CREATE TABLE tasks (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    queue TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    payload BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'leased', 'done')),
    fence BIGINT NOT NULL DEFAULT 0,
    attempt BIGINT NOT NULL DEFAULT 0,
    runner_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    claim_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    expires_at BIGINT NOT NULL DEFAULT 0,
    available_at BIGINT NOT NULL DEFAULT 0,
    cancel_reason TEXT COLLATE "C",
    pause_reason TEXT COLLATE "C",
    last_failure TEXT COLLATE "C" NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL
  ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
  CREATE INDEX tasks_waiting ON tasks (queue, position) WHERE state = 'waiting';
  CREATE INDEX tasks_leased ON tasks (position) WHERE state = 'leased';
  CREATE INDEX tasks_open_by_session ON tasks (session_id, position) WHERE state <> 'done';
  CREATE TABLE task_inbox (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id TEXT COLLATE "C" NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL,
    payload BYTEA NOT NULL,
    UNIQUE (task_id, id)
  );
  CREATE INDEX task_inbox_in_order ON task_inbox (task_id, position);
  CREATE FUNCTION tasks_forget_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    DELETE FROM task_inbox WHERE task_id = NEW.id;
    RETURN NULL;
  END $$;
  -- Here, so that no way to end a task can forget it, and what came until then is seen.
  CREATE TRIGGER tasks_done AFTER UPDATE OF state ON tasks FOR EACH ROW WHEN (NEW.state = 'done')
    EXECUTE FUNCTION tasks_forget_inbox();

  CREATE TABLE tool_calls (
    execution_id TEXT COLLATE "C" NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    call_key TEXT COLLATE "C" NOT NULL,
    tool_name TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL CHECK (class IN ('repeatable', 'once')),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'finished', 'unknown')),
    fence BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    begun_at BIGINT NOT NULL,
    result BYTEA,
    PRIMARY KEY (execution_id, call_key),
    CHECK ((state = 'finished') = (result IS NOT NULL))
  ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
  CREATE FUNCTION executions_forget_private() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    DELETE FROM tool_calls WHERE execution_id = OLD.id;
    DELETE FROM resources WHERE kind = 'ExecutionContext' AND parent_id = OLD.id AND parent_id <> '';
    RETURN NULL;
  END $$;
  -- Here, so that no way to end a run can forget it, and what began while the end waited for it is seen.
  CREATE TRIGGER executions_ended AFTER UPDATE OF ended ON executions FOR EACH ROW WHEN (NEW.ended AND NOT OLD.ended)
    EXECUTE FUNCTION executions_forget_private();
  CREATE TRIGGER executions_deleted AFTER DELETE ON executions FOR EACH ROW EXECUTE FUNCTION executions_forget_private();

  -- Locked by transactions that were broken off for others, so that they come one after the other the next time.
  CREATE TABLE transaction_turn ();
  `,
  },
  {
    worksWith: 1,
    sql: `
  -- What the database knows of itself.
  CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
  `,
  },
  {
    worksWith: 1,
    sql: `
  ALTER TABLE tasks ADD COLUMN orders BIGINT NOT NULL DEFAULT 0;
  ALTER TABLE tasks ADD COLUMN items BIGINT NOT NULL DEFAULT 0;
  UPDATE tasks SET items = (SELECT count(*) FROM task_inbox WHERE task_id = tasks.id) WHERE state <> 'done';
  CREATE FUNCTION tasks_count_item() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE tasks SET items = items + 1 WHERE id = NEW.task_id;
    RETURN NULL;
  END $$;
  CREATE TRIGGER task_inbox_added AFTER INSERT ON task_inbox FOR EACH ROW EXECUTE FUNCTION tasks_count_item();
  -- Who keeps leases that don't end by themselves, and until when they are surely there.
  CREATE TABLE task_holders (id TEXT COLLATE "C" NOT NULL PRIMARY KEY, expires_at BIGINT NOT NULL);
  -- The one that servers of before went by is gone.
  INSERT INTO task_holders (id, expires_at) VALUES ('temporal', 0);
  `,
  },
  {
    worksWith: 1,
    // Found by retention, which forgets them.
    indexes: { tasks_cleaned_up: "ON tasks (created_at) WHERE kind = 'cleanup-sandbox' AND state = 'done'" },
  },
  {
    worksWith: 1,
    // Organizations share runners: what each has waiting and in work is found by an index, whatever others have.
    sql: `
  ALTER TABLE tasks ADD COLUMN org TEXT COLLATE "C" NOT NULL DEFAULT '';
  UPDATE tasks SET org = coalesce((SELECT executions.org FROM executions WHERE executions.id = tasks.id), '')
    WHERE state <> 'done' AND kind = 'execution';
  `,
  },
  {
    worksWith: 1,
    indexes: {
      tasks_runnable:
        "ON tasks (queue, org, position) WHERE state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL",
      tasks_live_by_org: "ON tasks (org) WHERE state = 'leased'",
      // What few of those that wait are, however many do.
      tasks_to_cancel: "ON tasks (position) WHERE state = 'waiting' AND cancel_reason IS NOT NULL",
      tasks_tried: "ON tasks (attempt) WHERE state = 'waiting' AND attempt > 0",
      tasks_later: "ON tasks (available_at) WHERE state = 'waiting' AND available_at > 0 AND pause_reason IS NULL",
    },
  },
  {
    worksWith: 1,
    // Who did what. Each way to narrow the list has an index in its order.
    sql: `
  CREATE TABLE audit_entries (
    created_at BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    principal_id TEXT COLLATE "C" NOT NULL,
    org TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    resource_kind TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    client_address TEXT COLLATE "C" NOT NULL,
    trace_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (created_at, id)
  );
  CREATE INDEX audit_entries_by_org ON audit_entries (org, created_at, id);
  CREATE INDEX audit_entries_by_principal ON audit_entries (principal_id, org, created_at, id);
  CREATE INDEX audit_entries_by_kind ON audit_entries (resource_kind, org, created_at, id);
  CREATE INDEX audit_entries_by_resource ON audit_entries (resource_id, created_at, id) WHERE resource_id <> '';
  `,
  },
  {
    worksWith: 1,
    // What is asked of all that wait is answered from an index, without a look at each.
    indexes: {
      tasks_by_age: "ON tasks (created_at) WHERE state = 'waiting' AND pause_reason IS NULL",
      tasks_resting: "ON tasks (position) WHERE state = 'waiting' AND pause_reason IS NOT NULL",
      tasks_open: "ON tasks (id) WHERE state <> 'done'",
      executions_open: "ON executions (id) INCLUDE (created_at) WHERE NOT ended",
    },
  },
  {
    worksWith: 1,
    // To look where others insert is what makes Postgres break transactions off: a foreign key does at the end of the runs' index,
    // for each new run, and a new session for its children, which it can't have.
    sql: `
  ALTER TABLE execution_bodies DROP CONSTRAINT execution_bodies_execution_id_fkey;
  ALTER TABLE execution_snapshots DROP CONSTRAINT execution_snapshots_execution_id_fkey;
  CREATE FUNCTION executions_forget_parts() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    DELETE FROM execution_bodies WHERE execution_id = OLD.id;
    DELETE FROM execution_snapshots WHERE execution_id = OLD.id;
    RETURN NULL;
  END $$;
  CREATE TRIGGER executions_parts_deleted AFTER DELETE ON executions FOR EACH ROW EXECUTE FUNCTION executions_forget_parts();
  DROP TRIGGER resources_parent_inserted ON resources;
  CREATE TRIGGER resources_parent_inserted AFTER INSERT ON resources FOR EACH ROW
    WHEN (NEW.parent_id <> '' AND NEW.kind NOT IN ('Session', 'ApiKey', 'ExecutionContext'))
    EXECUTE FUNCTION resources_tell_grandchildren();
  `,
  },
  {
    worksWith: 1,
    // What "orders" was when the run was stored as one that rests by itself; as long as it is that, nobody has answered.
    sql: "ALTER TABLE tasks ADD COLUMN orders_at_rest BIGINT",
  },
];
