import { StoreError } from "../errors.ts";
import type { ResourceFilter, ResourceRecord, ResourceStore } from "../resource-store.ts";
import { conditions, isUniqueViolation, labelConditions, tagConditions, type Condition } from "./conditions.ts";
import type { Session } from "./sql.ts";

interface Row {
  kind: string;
  id: string;
  org: string;
  owner_scope: number;
  slug: string;
  name: string;
  parent_id: string;
  labels: string;
  tags: string;
  version: string;
  created_at: number;
  updated_at: number;
  body: Uint8Array;
}

const INSERT = `
  INSERT INTO resources (kind, id, org, owner_scope, slug, name, parent_id, labels, tags, version, created_at, updated_at, body)
  VALUES (:kind, :id, :org, :owner_scope, :slug, :name, :parent_id, :labels, :tags, :version, :created_at, :updated_at, :body)`;

const REPLACE = `
  UPDATE resources SET org = :org, owner_scope = :owner_scope, slug = :slug, name = :name, parent_id = :parent_id,
    labels = :labels, tags = :tags, version = :version, created_at = :created_at, updated_at = :updated_at, body = :body
  WHERE kind = :kind AND id = :id AND version = :expected_version`;

export function createResourceStore(session: Session): ResourceStore {
  return {
    insert: (record) =>
      session.write((sql) => {
        refusingDuplicates(record, () => sql.run(INSERT, { ...toRow(record) }));
      }),
    replace: (record, expectedVersion) =>
      session.write((sql) => {
        const parameters = { ...toRow(record), expected_version: expectedVersion };
        const changed = refusingDuplicates(record, () => sql.run(REPLACE, parameters));
        if (changed === 0) {
          throw new StoreError(
            "conflict",
            `${record.kind} ${record.id} has changed since version ${expectedVersion} was read.`,
          );
        }
      }),
    get: (kind, id) =>
      session.read((sql) =>
        fromRow(sql.get<Row>("SELECT * FROM resources WHERE kind = :kind AND id = :id", { kind, id })),
      ),
    getByAddress: ({ kind, org, ownerScope, slug }) =>
      session.read((sql) =>
        fromRow(
          sql.get<Row>(
            "SELECT * FROM resources WHERE kind = :kind AND org = :org AND owner_scope = :owner_scope AND slug = :slug",
            { kind, org, owner_scope: ownerScope, slug },
          ),
        ),
      ),
    list: (filter, page) =>
      session.read((sql) => {
        const { where, parameters } = conditions(resourceConditions(filter), page.after);
        const text = `SELECT * FROM resources ${where} ORDER BY created_at DESC, id DESC LIMIT :limit`;
        return sql.all<Row>(text, { ...parameters, limit: page.limit }).flatMap((row) => fromRow(row) ?? []);
      }),
    count: (filter) =>
      session.read((sql) => {
        const { where, parameters } = conditions(resourceConditions(filter));
        return sql.get<{ count: number }>(`SELECT count(*) AS count FROM resources ${where}`, parameters)?.count ?? 0;
      }),
    delete: (kind, id) =>
      session.write((sql) => sql.run("DELETE FROM resources WHERE kind = :kind AND id = :id", { kind, id }) > 0),
  };
}

function resourceConditions(filter: ResourceFilter): Condition[] {
  return [
    ["kind = :kind", { kind: filter.kind }],
    filter.org !== undefined && ["org = :org", { org: filter.org }],
    filter.ownerScope !== undefined && ["owner_scope = :owner_scope", { owner_scope: filter.ownerScope }],
    filter.parentId !== undefined && ["parent_id = :parent_id", { parent_id: filter.parentId }],
    filter.grandparentId !== undefined && [
      "parent_id IN (SELECT id FROM resources WHERE parent_id = :grandparent_id)",
      { grandparent_id: filter.grandparentId },
    ],
    ...tagConditions(filter.tags),
    ...labelConditions(filter.labels),
  ];
}

function toRow(record: ResourceRecord): Row {
  return {
    kind: record.kind,
    id: record.id,
    org: record.org,
    owner_scope: record.ownerScope,
    slug: record.slug,
    name: record.name,
    parent_id: record.parentId,
    labels: JSON.stringify(record.labels),
    tags: JSON.stringify(record.tags),
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
      labels: JSON.parse(row.labels) as Record<string, string>,
      tags: JSON.parse(row.tags) as string[],
      version: row.version,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      body: row.body,
    }
  );
}

function refusingDuplicates<T>(record: ResourceRecord, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    throw new StoreError(
      "already-exists",
      `${record.kind} "${record.slug}" exists already in ${record.org || "this scope"}.`,
      { cause },
    );
  }
}
