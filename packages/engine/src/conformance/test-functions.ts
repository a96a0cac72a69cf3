/** What a suite registers its cases with: Vitest's, Jest's and `node:test`'s functions fit. */
export interface TestFunctions {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: (name: string, body: () => Promise<void>) => unknown;
}
