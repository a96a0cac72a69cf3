export { createDaytonaSandbox } from "./create.ts";
export type { DaytonaSandboxOptions } from "./create.ts";
