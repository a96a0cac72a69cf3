import { StoreError } from "../errors.ts";
import type { ResourceFilter, ResourceRecord, ResourceStore } from "../resource-store.ts";
import { conditions, countRows, markConditions, PAGE, type Condition } from "./conditions.ts";
import type { Parameters, Session } from "./sql.ts";
import { encodeLabels, encodeTags } from "./values.ts";

interface Row {
  kind: string;
  id: string;
  org: string;
  owner_scope: number;
  slug: string;
  name: string;
  parent_id: string;
  labels: Record<string, string>;
  tags: string[];
  version: string;
  created_at: number;
  updated_at: number;
  body: Uint8Array;
}

const COLUMNS =
  "kind, id, org, owner_scope, slug, name, parent_id, labels, tags, version, created_at, updated_at, body";

// What is taken is found without an error, which would break the transaction off.
const INSERT = `
  INSERT INTO resources (${COLUMNS})
  VALUES (:kind, :id, :org, :owner_scope, :slug, :name, :parent_id, :labels, :tags, :version, :created_at, :updated_at, :body)
  ON CONFLICT DO NOTHING`;

const REPLACE = `
  UPDATE resources SET org = :org, owner_scope = :owner_scope, slug = :slug, name = :name, parent_id = :parent_id,
    labels = :labels, tags = :tags, version = :version, created_at = :created_at, updated_at = :updated_at, body = :body
  WHERE kind = :kind AND id = :id AND version = :expected_version AND NOT EXISTS (
    SELECT 1 FROM resources AS other
    WHERE other.kind = :kind AND other.org = :org AND other.owner_scope = :owner_scope AND other.slug = :slug AND other.id <> :id
  )`;

const VERSION = "SELECT version FROM resources WHERE kind = :kind AND id = :id";

export function createResourceStore(session: Session): ResourceStore {
  return {
    insert: (record) =>
      session.write(async (sql) => {
        if ((await sql.run(INSERT, toParameters(record))) === 0) throw taken(record);
      }),
    replace: (record, expectedVersion) =>
      session.write(async (sql) => {
        const { kind, id } = record;
        const parameters = { ...toParameters(record), expected_version: expectedVersion };
        if ((await sql.run(REPLACE, parameters)) > 0) return;
        const stored = await sql.get<{ version: string }>(VERSION, { kind, id });
        if (stored?.version === expectedVersion) throw taken(record);
        throw new StoreError("conflict", `${kind} ${id} has changed since version ${expectedVersion} was read.`);
      }),
    get: (kind, id) =>
      session.read(async (sql) =>
        fromRow(await sql.get<Row>(`SELECT ${COLUMNS} FROM resources WHERE kind = :kind AND id = :id`, { kind, id })),
      ),
    getByAddress: ({ kind, org, ownerScope, slug }) =>
      session.read(async (sql) =>
        fromRow(
          await sql.get<Row>(
            `SELECT ${COLUMNS} FROM resources
             WHERE kind = :kind AND org = :org AND owner_scope = :owner_scope AND slug = :slug`,
            { kind, org, owner_scope: ownerScope, slug },
          ),
        ),
      ),
    list: (filter, page) =>
      session.read(async (sql) => {
        const { where, parameters } = conditions(resourceConditions(filter), page.after);
        const text = `SELECT ${COLUMNS} FROM resources ${where} ${PAGE}`;
        const rows = await sql.all<Row>(text, { ...parameters, limit: page.limit });
        return rows.flatMap((row) => fromRow(row) ?? []);
      }),
    count: (filter, limit) =>
      session.read((sql) => countRows(sql, "resources", { list: resourceConditions(filter), limit })),
    delete: (kind, id) =>
      session.write(
        async (sql) => (await sql.run("DELETE FROM resources WHERE kind = :kind AND id = :id", { kind, id })) > 0,
      ),
  };
}

function resourceConditions(filter: ResourceFilter): Condition[] {
  return [
    ["kind = :kind", { kind: filter.kind }],
    filter.org !== undefined && ["org = :org", { org: filter.org }],
    filter.ownerScope !== undefined && ["owner_scope = :owner_scope", { owner_scope: filter.ownerScope }],
    // What stands in no partial index has no parent.
    filter.parentId !== undefined && ["parent_id = :parent_id AND parent_id <> ''", { parent_id: filter.parentId }],
    filter.grandparentId !== undefined && [
      "grandparent_id = :grandparent_id AND grandparent_id <> ''",
      { grandparent_id: filter.grandparentId },
    ],
    ...markConditions(filter.tags, filter.labels),
  ];
}

function toParameters(record: ResourceRecord): Parameters {
  return {
    kind: record.kind,
    id: record.id,
    org: record.org,
    owner_scope: record.ownerScope,
    slug: record.slug,
    name: record.name,
    parent_id: record.parentId,
    labels: encodeLabels(record.labels),
    tags: encodeTags(record.tags),
    version: record.version,
    created_at: record.createdAt,
    updated_at: record.updatedAt,
    body: record.body,
  };
}

function fromRow(row: Row | undefined): ResourceRecord | undefined {
  return (
    row && {
      kind: row.kind,
      id: row.id,
      org: row.org,
      ownerScope: row.owner_scope,
      slug: row.slug,
      name: row.name,
      parentId: row.parent_id,
      labels: row.labels,
      tags: row.tags,
      version: row.version,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      body: row.body,
    }
  );
}

function taken({ kind, slug, org }: ResourceRecord): StoreError {
  return new StoreError("already-exists", `${kind} "${slug}" exists already in ${org || "this scope"}.`);
}
