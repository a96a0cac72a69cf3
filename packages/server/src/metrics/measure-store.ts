import type { Meters } from "@stigmer/telemetry";
import type { Store } from "../store/store.ts";

type Operation = (...args: unknown[]) => unknown;

const ROLES = [
  "resources",
  "executions",
  "skillVersions",
  "tasks",
  "ledger",
  "audit",
  "artifacts",
  "settings",
  "queue",
] as const satisfies readonly (keyof Store)[];

/** The same store, each of whose operations is timed under its role and name, such as `executions.get`, and `transaction`. */
export function measureStore(store: Store, meters: Meters): Store {
  const seconds = meters.histogram({
    name: "stigmer_server_store_seconds",
    help: "Duration of the store's operations outside of transactions, and of transactions as a whole.",
    labels: ["operation"],
  });

  function timed<F>(operation: F, name: string): F {
    const labels = { operation: name };
    const measured: Operation = (...args) => {
      const begun = performance.now();
      const result = (operation as Operation)(...args);
      if (!(result instanceof Promise)) return result;
      const record = (): void => seconds.record((performance.now() - begun) / 1_000, labels);
      result.then(record, record);
      return result;
    };
    return measured as F;
  }

  const roleOf = (role: (typeof ROLES)[number]): object =>
    Object.fromEntries(
      Object.entries(store[role]).map(([name, value]: [string, unknown]) => [
        name,
        typeof value === "function" ? timed(value, `${role}.${name}`) : value,
      ]),
    );
  return {
    ...store,
    ...Object.fromEntries(ROLES.map((role) => [role, roleOf(role)])),
    transaction: timed(store.transaction, "transaction"),
  };
}
