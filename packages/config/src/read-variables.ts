import { z } from "zod";
import { type Environment, given } from "./environment.ts";
import { describeFormat, schemaOf, type ValueOf } from "./formats.ts";
import { type ConfigProblem, missing, wrongValue } from "./problems.ts";
import { problemsAcross } from "./rules.ts";
import { type Mode, type Reader, type Rule, type Variable, type VariableName, variables } from "./variables.ts";

type Table = typeof variables;

type NamesOf<R extends Reader> = {
  [N in VariableName]: R extends Table[N]["readers"][number] ? N : never;
}[VariableName];

type IsPresent<U, R extends Reader> = U extends { use: "default" }
  ? true
  : U extends { use: "required" }
    ? U extends { by: infer B }
      ? R extends B
        ? true
        : false
      : true
    : false;

/** The variables of one reader in one mode, typed by their rows in the table. */
export type Values<M extends Mode, R extends Reader> = {
  readonly [N in NamesOf<R>]: Table[N][M] extends { use: "ignored" }
    ? undefined
    : IsPresent<Table[N][M], R> extends true
      ? ValueOf<Table[N]["format"], M>
      : ValueOf<Table[N]["format"], M> | undefined;
};

export type ValuesResult<M extends Mode, R extends Reader> =
  | { readonly ok: true; readonly values: Values<M, R> }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export interface ReadVariablesOptions<M extends Mode, R extends Reader> {
  readonly mode: M;
  readonly reader: R;
  readonly home?: string;
}

const table: Readonly<Record<VariableName, Variable>> = variables;

/** Reads every variable that the table gives to `reader`, and reports all that is wrong with them, each alone and together. */
export function readVariables<M extends Mode, R extends Reader>(
  env: Environment,
  options: ReadVariablesOptions<M, R>,
): ValuesResult<M, R> {
  const names = (Object.keys(table) as VariableName[]).filter(
    (name) => table[name].readers.includes(options.reader) && table[name][options.mode].use !== "ignored",
  );
  const schema = z.object(
    Object.fromEntries(
      names.map((name) => {
        const variable = table[name];
        const value = schemaOf(variable.format, options);
        return [name, isRequired(variable[options.mode], options.reader) ? value : value.optional()];
      }),
    ),
  );
  const result = schema.safeParse(
    Object.fromEntries(names.map((name) => [name, given(env, name) ?? defaultOf(table[name][options.mode])])),
  );
  const issues = result.success ? [] : result.error.issues;
  const offending = new Set(issues.map((issue) => issue.path[0]));
  const problems = [
    ...names.filter((name) => offending.has(name)).map((name) => problemOf(env, name, options.mode)),
    ...problemsAcross(env, options.mode, options.reader),
  ];
  if (!result.success || problems.length > 0) return { ok: false, problems };
  return { ok: true, values: result.data as unknown as Values<M, R> };
}

/** The mode, and what else can be said while it is unknown: values that are wrong in either mode. */
export function readMode(
  env: Environment,
  reader: Reader,
): { readonly ok: true; readonly mode: Mode } | { readonly ok: false; readonly problems: readonly ConfigProblem[] } {
  const mode = given(env, "MODE")?.trim() ?? variables.MODE.cloud.value;
  if (mode === "local" || mode === "cloud") return { ok: true, mode };
  const [local, cloud] = (["local", "cloud"] as const).map((mode) => wrongNames(readVariables(env, { mode, reader })));
  const problems = (Object.keys(table) as VariableName[])
    .filter((name) => local?.has(name) && cloud?.has(name))
    .map((name) => problemOf(env, name));
  return { ok: false, problems };
}

function wrongNames(result: { ok: true } | { ok: false; problems: readonly ConfigProblem[] }): Set<string> {
  const problems = result.ok ? [] : result.problems;
  return new Set(problems.flatMap((problem) => (problem.code === "wrong-value" ? [problem.variable] : [])));
}

function problemOf(env: Environment, name: VariableName, mode?: Mode): ConfigProblem {
  const value = given(env, name);
  if (value === undefined) return missing(name);
  const { format, secret } = table[name];
  return wrongValue(name, { value, secret, expected: describeFormat(format, mode) });
}

function isRequired(rule: Rule, reader: Reader): boolean {
  return rule.use === "default" || (rule.use === "required" && (rule.by ?? reader) === reader);
}

function defaultOf(rule: Rule): string | undefined {
  return rule.use === "default" ? rule.value : undefined;
}
