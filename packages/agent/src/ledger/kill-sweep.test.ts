import { allKillPoints, sweep } from "../__fixtures__/kill-sweep.ts";

// In the root agent and in a sub-agent; the system suite has all points.
sweep(allKillPoints.filter(({ n }) => n === 2 || n === 5));
