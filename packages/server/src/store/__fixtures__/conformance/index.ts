import { afterEach, beforeEach, describe } from "vitest";
import type { Store } from "../../store.ts";
import { auditCases } from "./audit.ts";
import { executionCases } from "./executions.ts";
import { ledgerCases } from "./ledger.ts";
import { resourceCases } from "./resources.ts";
import { retentionCases } from "./retention.ts";
import { settingCases } from "./settings.ts";
import { skillCases } from "./skills.ts";
import { taskCases } from "./tasks.ts";
import { transactionCases } from "./transactions.ts";
import { valueCases } from "./values.ts";

export interface StoreConformanceOptions {
  readonly name: string;
  /** How many random sequences of requests to hold against the laws. Default 120. */
  readonly sequences?: number;
  /** An empty store. */
  readonly open: () => Promise<OpenStore>;
}

export interface OpenStore {
  readonly store: Store;
  /** Closes the store, opens the same data again. */
  reopen(): Promise<Store>;
  /** Closes the store and removes its data. */
  dispose(): Promise<void>;
}

/** What a case works on; `store` is the one opened last. */
export interface Subject {
  readonly sequences: number;
  readonly store: Store;
  reopen(): Promise<Store>;
}

/** Registers, in Vitest, what every driver of the store must do. */
export function storeConformance(options: StoreConformanceOptions): void {
  describe(`store: ${options.name}`, () => {
    let open: OpenStore;
    let store: Store;
    beforeEach(async () => {
      open = await options.open();
      store = open.store;
    });
    afterEach(() => open.dispose());
    const subject: Subject = {
      sequences: options.sequences ?? 120,
      get store() {
        return store;
      },
      reopen: async () => (store = await open.reopen()),
    };
    resourceCases(subject);
    executionCases(subject);
    ledgerCases(subject);
    auditCases(subject);
    settingCases(subject);
    retentionCases(subject);
    skillCases(subject);
    taskCases(subject);
    transactionCases(subject);
    valueCases(subject);
  });
}
