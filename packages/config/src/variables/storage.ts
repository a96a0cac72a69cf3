export const storageVariables = {
  STIGMER_DATABASE_URL: {
    group: "Storage",
    meaning: "The server's database.",
    readers: ["server", "runner"],
    format: { type: "database" },
    local: { use: "optional", unset: "`stigmer.db` in the data folder" },
    cloud: { use: "required", by: "server" },
    secret: true,
  },
  STIGMER_CHECKPOINT_URL: {
    group: "Storage",
    meaning: "The database of the runs' checkpoints.",
    readers: ["runner"],
    format: { type: "database" },
    local: { use: "optional", unset: "`checkpoints.db` in the data folder" },
    cloud: { use: "required" },
    secret: true,
  },
  STIGMER_ENCRYPTION_KEY: {
    group: "Storage",
    meaning: "The key that secrets are encrypted with at rest: 32 bytes, in base64 or hex.",
    readers: ["server", "runner"],
    format: { type: "key", bytes: 32 },
    local: { use: "optional", unset: "`encryption.key` in the data folder" },
    cloud: { use: "required", by: "server" },
    secret: true,
  },
  STIGMER_RETENTION_DAYS: {
    group: "Storage",
    meaning:
      "How many days runs are kept after their end, and sessions after their last use. Then they are deleted, with their conversations and sandboxes.",
    readers: ["server"],
    format: { type: "integer", min: 1, max: 36_500 },
    local: { use: "optional", unset: "for ever" },
    cloud: { use: "optional", unset: "for ever" },
    secret: false,
  },
} as const;
