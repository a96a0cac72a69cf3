/** One thing that is wrong with the configuration. `message` is one complete line, without any secret's value. */
export type ConfigProblem =
  | { readonly code: "missing-variable"; readonly variable: string; readonly message: string }
  | { readonly code: "wrong-value"; readonly variable: string; readonly message: string }
  | {
      readonly code: "bad-file";
      readonly path: string;
      /** Counted from 1, as is `column`. Absent when the file as a whole is the problem. */
      readonly line?: number;
      readonly column?: number;
      readonly message: string;
    };

const brand: unique symbol = Symbol.for("@stigmer/config.ConfigError") as never;

/** The one error class of this package: all problems at once, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];
  /** That of the first problem. */
  readonly code: ConfigProblem["code"] | undefined;

  constructor(problems: readonly ConfigProblem[], options?: { cause?: unknown }) {
    super(`Failed to load configuration: ${problems.map((problem) => problem.message).join("\n")}`, options);
    this.problems = problems;
    this.code = problems[0]?.code;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is ConfigError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

export function missing(variable: string): ConfigProblem {
  return { code: "missing-variable", variable, message: `Missing required environment variable: ${variable}` };
}

/** `expected` is a phrase. A secret's value is left out; so are user and password inside a URL. */
export function wrongValue(
  variable: string,
  { value, secret, expected }: { value: string; secret: boolean; expected: string },
): ConfigProblem {
  const shown = secret
    ? `has a value that can't be used (not shown: it is a secret)`
    : `is ${JSON.stringify(value.replace(/\/\/.*@/s, "//***@"))}`;
  return { code: "wrong-value", variable, message: `${variable} ${shown}: expected ${expected}` };
}
