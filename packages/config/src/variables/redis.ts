export const redisVariables = {
  REDIS_HOST: {
    group: "Redis",
    meaning:
      "Redis, for fan-out, sandbox leases and wake-ups between processes. It holds nothing that may not be lost.",
    readers: ["runner", "server"],
    format: { type: "text" },
    local: { use: "ignored" },
    cloud: { use: "required" },
    secret: false,
  },
  REDIS_PORT: {
    group: "Redis",
    meaning: "Port of Redis.",
    readers: ["runner", "server"],
    format: { type: "integer", min: 1, max: 65_535 },
    local: { use: "ignored" },
    cloud: { use: "default", value: "6379" },
    secret: false,
  },
  REDIS_PASSWORD: {
    group: "Redis",
    meaning: "Password of Redis, taken exactly as it is, spaces included.",
    readers: ["runner", "server"],
    format: { type: "verbatim" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "no password is sent" },
    secret: true,
  },
} as const;
