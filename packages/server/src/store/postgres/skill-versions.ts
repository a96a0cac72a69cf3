import type { SkillVersion, SkillVersionStore } from "../skill-store.ts";
import type { Session } from "./sql.ts";

interface Row {
  skill_id: string;
  hash: string;
  created_at: number;
  body: Uint8Array;
}

/** A hash goes before a tag that looks like one. */
const GET = `
  SELECT skill_id, hash, created_at, body FROM skill_versions
  WHERE skill_id = :skill_id AND hash = coalesce(
    (SELECT hash FROM skill_versions WHERE skill_id = :skill_id AND hash = :version),
    (SELECT hash FROM skill_tags WHERE skill_id = :skill_id AND tag = :version)
  )`;

const DELETE_ALL = `
  WITH mine AS (DELETE FROM skill_versions WHERE skill_id = :skill_id RETURNING hash)
  SELECT hash FROM mine
  WHERE NOT EXISTS (SELECT 1 FROM skill_versions AS other WHERE other.hash = mine.hash AND other.skill_id <> :skill_id)
  ORDER BY hash`;

export function createSkillVersionStore(session: Session): SkillVersionStore {
  return {
    put: ({ skillId, hash, createdAt, body }) =>
      session.write(async (sql) => {
        await sql.run(
          `INSERT INTO skill_versions (skill_id, hash, created_at, body) VALUES (:skill_id, :hash, :created_at, :body)
           ON CONFLICT DO NOTHING`,
          { skill_id: skillId, hash, created_at: createdAt, body },
        );
      }),
    tag: (skillId, tag, hash) =>
      session.write(async (sql) => {
        await sql.run(
          `INSERT INTO skill_tags (skill_id, tag, hash) VALUES (:skill_id, :tag, :hash)
           ON CONFLICT (skill_id, tag) DO UPDATE SET hash = excluded.hash`,
          { skill_id: skillId, tag, hash },
        );
      }),
    get: (skillId, version) =>
      session.read(async (sql) => fromRow(await sql.get<Row>(GET, { skill_id: skillId, version }))),
    skillsOf: (hash) =>
      session.read(async (sql) => {
        const query = "SELECT skill_id FROM skill_versions WHERE hash = :hash ORDER BY skill_id";
        return (await sql.all<{ skill_id: string }>(query, { hash })).map((row) => row.skill_id);
      }),
    deleteAll: (skillId) =>
      session.write(async (sql) =>
        (await sql.all<{ hash: string }>(DELETE_ALL, { skill_id: skillId })).map(({ hash }) => hash),
      ),
  };
}

function fromRow(row: Row | undefined): SkillVersion | undefined {
  return row && { skillId: row.skill_id, hash: row.hash, createdAt: row.created_at, body: row.body };
}
