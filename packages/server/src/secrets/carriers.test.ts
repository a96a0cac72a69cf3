import { randomBytes } from "node:crypto";
import { create, toJsonString, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { EnvironmentValueSchema } from "@stigmer/protos/environment/v1";
import { ExecutionValueSchema } from "@stigmer/protos/executioncontext/v1";
import { expect, it } from "vitest";
import { API_SERVICES } from "../services/api-services.ts";
import { createSecrets } from "./create-secrets.ts";

const CANARY = "canary-4242-secret";
const VALUES: ReadonlySet<string> = new Set([EnvironmentValueSchema.typeName, ExecutionValueSchema.typeName]);

/** Every message that a call or an answer of the API can carry, at any depth. */
function servedMessages(): DescMessage[] {
  const seen = new Set<DescMessage>();
  const visit = (message: DescMessage): void => {
    if (seen.has(message)) return;
    seen.add(message);
    for (const field of message.fields) if (field.message) visit(field.message);
  };
  for (const { methods } of API_SERVICES) for (const { input, output } of methods) [input, output].forEach(visit);
  return [...seen];
}

function isResource({ fields }: DescMessage): boolean {
  return ["metadata", "spec"].every((name) => fields.some((field) => field.name === name));
}

/** The ways through a message's fields that end in a value, and what they lead through. */
function waysToValues(message: DescMessage, through: readonly DescMessage[] = []): DescField[][] {
  if (through.includes(message)) return [];
  return message.fields.flatMap((field) => {
    if (field.message === undefined) return [];
    if (VALUES.has(field.message.typeName)) return [[field]];
    return waysToValues(field.message, [...through, message]).map((rest) => [field, ...rest]);
  });
}

/** Puts a secret at the end of a way. */
function plant(message: ReflectMessage, [field, ...rest]: DescField[]): void {
  if (!field?.message) throw new Error("The way leads nowhere.");
  const inner = reflect(field.message);
  if (rest.length > 0) plant(inner, rest);
  else {
    inner.set(fieldOf(inner, "value"), CANARY);
    inner.set(fieldOf(inner, "is_secret"), true);
  }
  if (field.fieldKind === "map") message.get(field).set("TOKEN", inner);
  else if (field.fieldKind === "list") message.get(field).add(inner);
  else message.set(field, inner);
}

function fieldOf({ fields }: ReflectMessage, name: string): DescField {
  const field = fields.find((each) => each.name === name);
  if (!field) throw new Error(`There is no field ${name}.`);
  return field;
}

interface Carrier {
  readonly schema: DescMessage;
  readonly way: DescField[];
}

const nameOf = ({ schema, way }: Carrier): string => [schema, ...way].map(({ name }) => name).join(".");

const carriers: Carrier[] = servedMessages()
  .filter(isResource)
  .flatMap((schema) => waysToValues(schema).map((way) => ({ schema, way })));

it("finds the values of every kind that is known to carry some", () => {
  expect(carriers.map(nameOf).sort()).toEqual([
    "Agent.spec.env_spec.data",
    "AgentExecution.spec.runtime_env",
    "Environment.spec.data",
    "ExecutionContext.spec.data",
    "McpServer.spec.env_spec.data",
  ]);
});

// A failure here means: the contract has a new place for secrets, which create-secrets.ts must learn.
it.each(carriers.map((carrier) => [nameOf(carrier), carrier] as const))(
  "seals and masks %s",
  (_name, { schema, way }) => {
    const secrets = createSecrets(randomBytes(32));
    const message = create(schema);
    plant(reflect(schema, message), way);
    const text = (each: typeof message): string => toJsonString(schema, each);
    expect(text(message)).toContain(CANARY);
    const sealed = secrets.seal(message);
    expect(text(sealed)).not.toContain(CANARY);
    expect(text(secrets.mask(sealed))).not.toContain(CANARY);
    expect(secrets.open(sealed)).toEqual(message);
  },
);
