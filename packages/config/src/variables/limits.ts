export const limitsVariables = {
  STIGMER_RATE_LIMIT_PER_SECOND: {
    group: "Limits",
    meaning:
      "How many calls an organization may make in a second, over time, to each server. Runners' calls are no organization's.",
    readers: ["server"],
    format: { type: "integer", min: 1, max: 1_000_000 },
    local: { use: "ignored" },
    cloud: { use: "default", value: "50" },
    secret: false,
  },
  STIGMER_RATE_LIMIT_BURST: {
    group: "Limits",
    meaning:
      "How many calls an organization may make at once when it has made none for a while. At least what it may make in a second. Who goes beyond it gets its calls evenly for as long as a burst takes to come together.",
    readers: ["server"],
    format: { type: "integer", min: 1, max: 10_000_000 },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "twice `STIGMER_RATE_LIMIT_PER_SECOND`" },
    secret: false,
  },
  STIGMER_MAX_CALLS_PER_ORG: {
    group: "Limits",
    meaning:
      "How many calls of an organization each server works on at a time, streams aside. Others wait their turn, and none is refused for it. One that has more than these gets them worked on one by one while other organizations are at work.",
    readers: ["server"],
    format: { type: "integer", min: 1, max: 10_000 },
    local: { use: "ignored" },
    cloud: { use: "default", value: "3" },
    secret: false,
  },
  STIGMER_MAX_RUNS_PER_ORG: {
    group: "Limits",
    meaning:
      "How many runs of an organization are in work at once, over all servers and runners. Others wait, and none is refused for it.",
    readers: ["server"],
    format: { type: "integer", min: 1, max: 1_000_000 },
    local: { use: "ignored" },
    cloud: { use: "default", value: "100" },
    secret: false,
  },
  STIGMER_MAX_WAITING_RUNS_PER_ORG: {
    group: "Limits",
    meaning: "How many runs of an organization may wait, beyond which no more are taken until some have begun.",
    readers: ["server"],
    format: { type: "integer", min: 1, max: 1_000_000 },
    local: { use: "ignored" },
    cloud: { use: "default", value: "10000" },
    secret: false,
  },
} as const;
