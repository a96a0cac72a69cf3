// What no row of the table can say alone. Reads raw text, so that these problems come together with those of single variables.

import { type Environment, given } from "./environment.ts";
import { parseModelName } from "./model-name.ts";
import { type ConfigProblem, missing, wrongValue } from "./problems.ts";
import type { Mode, Reader, VariableName } from "./variables.ts";

interface Rule {
  readonly readers: readonly Reader[];
  readonly mode: Mode | "both";
  readonly check: (text: (name: VariableName) => string | undefined) => ConfigProblem | undefined;
}

const rules: readonly Rule[] = [
  {
    readers: ["runner", "server"],
    mode: "local",
    check: (text) =>
      text("STIGMER_ENGINE") === "temporal" && text("TEMPORAL_SERVICE_ADDRESS") === undefined
        ? missing("TEMPORAL_SERVICE_ADDRESS")
        : undefined,
  },
  {
    readers: ["runner"],
    mode: "cloud",
    check: (text) =>
      (text("SANDBOX_TYPE") ?? "daytona") === "daytona" && text("DAYTONA_API_KEY") === undefined
        ? missing("DAYTONA_API_KEY")
        : undefined,
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => together(text, "STIGMER_OIDC_ISSUER", "STIGMER_OIDC_AUDIENCE"),
  },
  {
    readers: ["server"],
    mode: "cloud",
    check: (text) => together(text, "STIGMER_OIDC_AUDIENCE", "STIGMER_OIDC_ISSUER"),
  },
  {
    readers: ["runner", "client"],
    mode: "both",
    check: (text) => {
      const provider = text("STIGMER_LLM_PROVIDER");
      const value = text("STIGMER_LLM_MODEL");
      const named = value === undefined ? undefined : parseModelName(value).provider;
      if (value === undefined || provider === undefined || named === undefined || named === provider) return undefined;
      const expected = `a model of the provider in STIGMER_LLM_PROVIDER, which is ${JSON.stringify(provider)}`;
      return wrongValue("STIGMER_LLM_MODEL", { value, secret: false, expected });
    },
  },
];

/** The problems that variables have with each other. */
export function problemsAcross(env: Environment, mode: Mode, reader: Reader): ConfigProblem[] {
  return rules
    .filter((rule) => rule.readers.includes(reader) && (rule.mode === mode || rule.mode === "both"))
    .flatMap((rule) => rule.check((name) => given(env, name)?.trim()) ?? []);
}

function together(
  text: (name: VariableName) => string | undefined,
  one: VariableName,
  other: VariableName,
): ConfigProblem | undefined {
  return text(one) !== undefined && text(other) === undefined ? missing(other) : undefined;
}
