import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { referenceFile, renderReference } from "../scripts/write-reference.ts";
import { renderSchema, schemaFile } from "../scripts/write-schema.ts";
import { schemaOf } from "./formats.ts";
import { secretNames, type Variable, variables } from "./variables.ts";

const rows: [string, Variable][] = Object.entries(variables);

test("the secrets", () => {
  expect([...secretNames].sort()).toEqual([
    "ANTHROPIC_API_KEY",
    "DAYTONA_API_KEY",
    "OPENAI_API_KEY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "REDIS_PASSWORD",
    "STIGMER_API_KEY",
    "STIGMER_CHECKPOINT_URL",
    "STIGMER_DATABASE_URL",
    "STIGMER_ENCRYPTION_KEY",
    "STIGMER_LLM_API_KEY",
    "TEMPORAL_API_KEY",
  ]);
});

test("whatever is named a key or a password is a secret", () => {
  const named = rows.filter(([name]) => /_KEY$|PASSWORD|TOKEN$|SECRET/.test(name));
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter(([, variable]) => !variable.secret)).toEqual([]);
});

test("every default is a value that its own format takes", () => {
  const wrong = rows.flatMap(([name, variable]) =>
    (["local", "cloud"] as const)
      .filter((mode) => {
        const rule = variable[mode];
        return rule.use === "default" && !schemaOf(variable.format, { mode }).safeParse(rule.value).success;
      })
      .map((mode) => `${name} in ${mode} mode`),
  );
  expect(wrong).toEqual([]);
});

const howTo = "is not what `pnpm --filter @stigmer/config generate` writes";

test("the reference is current", () => {
  expect(readFileSync(referenceFile, "utf8"), `docs/reference/configuration.md ${howTo}`).toBe(renderReference());
});

test("the schema of config.yaml is current", () => {
  expect(readFileSync(schemaFile, "utf8"), `config.schema.json ${howTo}`).toBe(renderSchema());
});
