/** A value of the agent's environment. */
export interface EnvironmentVariable {
  readonly value: string;
  readonly isSecret: boolean;
}

export type EnvironmentLayer = Readonly<Record<string, EnvironmentVariable>>;

export interface MergedEnvironment {
  /** What the agent's commands see. */
  readonly values: Record<string, string>;
  /** The values that must not be shown. */
  readonly secrets: readonly string[];
}

/**
 * Lays environments over each other, later ones on top: the agent's own, then its instance's references in their order,
 * then the run's. A name declared without a value is a wish that another layer fulfils; unfulfilled it stays unset.
 */
export function mergeEnvironment(layers: readonly EnvironmentLayer[]): MergedEnvironment {
  const merged = new Map<string, EnvironmentVariable>();
  for (const layer of layers) {
    for (const [name, variable] of Object.entries(layer)) {
      if (variable.value !== "") merged.set(name, variable);
    }
  }
  return {
    values: Object.fromEntries([...merged].map(([name, { value }]) => [name, value])),
    secrets: [...merged.values()].filter(({ isSecret }) => isSecret).map(({ value }) => value),
  };
}
