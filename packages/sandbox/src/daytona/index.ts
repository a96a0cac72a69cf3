export { checkDaytonaBackend, createDaytonaSandbox, removeDaytonaSandbox, removeDaytonaSandboxesOf } from "./create.ts";
export type { DaytonaSandboxOptions } from "./create.ts";
