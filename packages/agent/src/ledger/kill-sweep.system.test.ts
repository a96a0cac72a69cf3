import { allKillPoints, sweep } from "../__fixtures__/kill-sweep.ts";

sweep(allKillPoints);
