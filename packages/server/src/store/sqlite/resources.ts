import { StoreError } from "../errors.ts";
import type { ResourceFilter, ResourceRecord, ResourceStore } from "../resource-store.ts";
import {
  clauses,
  type Condition,
  countAll,
  inOrder,
  isUniqueViolation,
  type Listings,
  marksOf,
  PAGE,
  rarestFirst,
} from "./conditions.ts";
import type { Session, Sql } from "./sql.ts";
import { inParts } from "./tail.ts";

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

/** The same where nothing changes by which it is found: SQLite writes every index and fires every trigger of a column that is named. */
const REPLACE_IN_PLACE = `
  UPDATE resources SET name = :name, version = :version, updated_at = :updated_at, body = :body
  WHERE kind = :kind AND id = :id AND version = :expected_version
    AND org = :org AND owner_scope = :owner_scope AND slug = :slug AND parent_id = :parent_id
    AND labels = :labels AND tags = :tags AND created_at = :created_at`;

export function createResourceStore(session: Session): ResourceStore {
  return {
    insert: (record) =>
      session.write((sql) => {
        refusingDuplicates(record, () => sql.run(INSERT, { ...toRow(record) }));
      }),
    replace: (record, expectedVersion) =>
      session.write((sql) => {
        const parameters = { ...toRow(record), expected_version: expectedVersion };
        const changed =
          sql.run(REPLACE_IN_PLACE, parameters) || refusingDuplicates(record, () => sql.run(REPLACE, parameters));
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
        const parts = listingsOf(sql, filter, "rows").map((listing) => {
          const { text, parameters } = clauses(listing, page.after);
          const select = `SELECT ${listing.from.includes("resource_marks") ? "resources" : "listed"}.*`;
          const rows = sql.all<Row>(`${select} ${text} ${PAGE}`, { ...parameters, limit: page.limit });
          return rows.flatMap((row) => fromRow(row) ?? []);
        });
        return inOrder(parts, page.limit);
      }),
    count: (filter, limit) => session.read((sql) => countAll(sql, listingsOf(sql, filter, "count"), limit)),
    delete: (kind, id) =>
      session.write((sql) => sql.run("DELETE FROM resources WHERE kind = :kind AND id = :id", { kind, id }) > 0),
  };
}

/** As in the lists of executions: by the index that is named here. */
function listingsOf(sql: Sql, filter: ResourceFilter, purpose: "rows" | "count"): Listings {
  const { kind, org, ownerScope, parentId, grandparentId } = filter;
  const common: Condition[] = [["listed.kind = :kind", { kind }], org !== undefined && ["listed.org = :org", { org }]];
  const others = (table: "listed" | "resources"): Condition[] => [
    ownerScope !== undefined && [`${table}.owner_scope = :owner_scope`, { owner_scope: ownerScope }],
    // What stands in no partial index has no parent.
    parentId !== undefined && [`${table}.parent_id = :parent_id AND ${table}.parent_id <> ''`, { parent_id: parentId }],
    grandparentId !== undefined && [
      `${table}.grandparent_id = :grandparent_id AND ${table}.grandparent_id <> ''`,
      { grandparent_id: grandparentId },
    ],
  ];
  const marks = marksOf(filter.tags, filter.labels);
  if (marks.length === 0) {
    const conditions = [...common, ...others("listed")];
    return inParts("resources", { index: indexFor(filter), conditions });
  }
  const condition: Condition =
    org === undefined ? ["kind = :kind", { kind }] : ["kind = :kind AND org = :org", { kind, org }];
  const [first, ...further] = rarestFirst(sql, marks, { table: "resource_marks", condition });
  const held = others("resources");
  const joined = purpose === "rows" || held.some((one) => one !== false);
  const index = org === undefined ? "" : " INDEXED BY resource_marks_by_org";
  const join = " CROSS JOIN resources ON resources.kind = listed.kind AND resources.id = listed.id";
  const from = `resource_marks AS listed${index}${joined ? join : ""}`;
  return [
    {
      from,
      conditions: [
        ...common,
        first !== undefined && [`listed.mark = ${first.text}`, first.parameters],
        ...held,
        ...further.map((mark): Condition => [
          `EXISTS (SELECT 1 FROM resource_marks AS also WHERE also.kind = listed.kind AND also.mark = ${mark.text}
           AND also.created_at = listed.created_at AND also.id = listed.id)`,
          mark.parameters,
        ]),
      ],
    },
  ];
}

function indexFor({ org, parentId, grandparentId }: ResourceFilter): string {
  if (parentId !== undefined) return "resources_by_parent";
  if (grandparentId !== undefined) return "resources_by_grandparent";
  return org === undefined ? "resources_by_creation" : "resources_by_org";
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
