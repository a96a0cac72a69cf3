import type { SkillVersion, SkillVersionStore } from "../skill-store.ts";
import type { Session } from "./sql.ts";

interface Row {
  skill_id: string;
  hash: string;
  created_at: number;
  body: Uint8Array;
}

const BY_HASH = "SELECT * FROM skill_versions WHERE skill_id = :skill_id AND hash = :version";
const BY_TAG = `
  SELECT skill_versions.* FROM skill_tags JOIN skill_versions USING (skill_id, hash)
  WHERE skill_id = :skill_id AND tag = :version`;

export function createSkillVersionStore(session: Session): SkillVersionStore {
  return {
    put: ({ skillId, hash, createdAt, body }) =>
      session.write((sql) => {
        sql.run(
          `INSERT INTO skill_versions (skill_id, hash, created_at, body) VALUES (:skill_id, :hash, :created_at, :body)
           ON CONFLICT DO NOTHING`,
          { skill_id: skillId, hash, created_at: createdAt, body },
        );
      }),
    tag: (skillId, tag, hash) =>
      session.write((sql) => {
        sql.run(
          `INSERT INTO skill_tags (skill_id, tag, hash) VALUES (:skill_id, :tag, :hash)
           ON CONFLICT (skill_id, tag) DO UPDATE SET hash = excluded.hash`,
          { skill_id: skillId, tag, hash },
        );
      }),
    get: (skillId, version) =>
      session.read((sql) => {
        const parameters = { skill_id: skillId, version };
        return fromRow(sql.get<Row>(BY_HASH, parameters) ?? sql.get<Row>(BY_TAG, parameters));
      }),
    skillsOf: (hash) =>
      session.read((sql) =>
        sql
          .all<{ skill_id: string }>("SELECT skill_id FROM skill_versions WHERE hash = :hash ORDER BY skill_id", {
            hash,
          })
          .map((row) => row.skill_id),
      ),
    deleteAll: (skillId) =>
      session.write((sql) => {
        const unused = sql.all<{ hash: string }>(
          `SELECT hash FROM skill_versions AS mine WHERE skill_id = :skill_id
           AND NOT EXISTS (SELECT 1 FROM skill_versions AS other WHERE other.hash = mine.hash AND other.skill_id <> :skill_id)`,
          { skill_id: skillId },
        );
        sql.run("DELETE FROM skill_versions WHERE skill_id = :skill_id", { skill_id: skillId });
        return unused.map(({ hash }) => hash);
      }),
  };
}

function fromRow(row: Row | undefined): SkillVersion | undefined {
  return row && { skillId: row.skill_id, hash: row.hash, createdAt: row.created_at, body: row.body };
}
