export { checkDaytonaBackend, createDaytonaSandbox, removeDaytonaSandbox } from "./create.ts";
export type { DaytonaSandboxOptions } from "./create.ts";
