import type { ArtifactStore } from "../skill-store.ts";
import type { Connections } from "./connections.ts";

/** No message to or from Postgres is much larger; in bytes. */
const PIECE_BYTES = 1024 * 1024;

const ADD = "INSERT INTO artifacts (key, size) VALUES (:key, :size) ON CONFLICT DO NOTHING";
const ADD_PIECE = "INSERT INTO artifact_pieces (key, position, bytes) VALUES (:key, :position, :bytes)";
const SIZE = "SELECT size FROM artifacts WHERE key = :key";
const PIECE = "SELECT bytes FROM artifact_pieces WHERE key = :key AND position = :position";

/** Artifacts in the database, so that all its servers have them: in pieces, since each may have 100 MB. */
export function createArtifactStore(connections: Connections): ArtifactStore {
  return {
    put: async (key, artifact) => {
      refuseOtherKeys(key);
      await connections.transaction({ isolation: "read committed" }, async (sql) => {
        // Somebody else who is about to store it is waited for.
        if ((await sql.run(ADD, { key, size: artifact.length })) === 0) return;
        for (let position = 0; position * PIECE_BYTES < artifact.length; position++) {
          const bytes = artifact.subarray(position * PIECE_BYTES, (position + 1) * PIECE_BYTES);
          await sql.run(ADD_PIECE, { key, position, bytes });
        }
      });
    },
    get: async (key) => {
      refuseOtherKeys(key);
      return connections.each(async (sql) => {
        const size = (await sql.get<{ size: number }>(SIZE, { key }))?.size;
        if (size === undefined) return undefined;
        const artifact = new Uint8Array(size);
        for (let position = 0; position * PIECE_BYTES < size; position++) {
          const piece = await sql.get<{ bytes: Uint8Array }>(PIECE, { key, position });
          // Deleted meanwhile.
          if (!piece) return undefined;
          artifact.set(piece.bytes, position * PIECE_BYTES);
        }
        return artifact;
      });
    },
    delete: async (key) => {
      refuseOtherKeys(key);
      await connections.each((sql) => sql.run("DELETE FROM artifacts WHERE key = :key", { key }));
    },
  };
}

function refuseOtherKeys(key: string): void {
  if (!/^[0-9a-f]{64}$/.test(key)) throw new TypeError(`Not the key of an artifact: ${key}`);
}
