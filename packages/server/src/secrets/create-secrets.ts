import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { clone, type DescMessage, type Message } from "@bufbuild/protobuf";
import { AgentSchema, type Agent } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema, type AgentExecution } from "@stigmer/protos/agentexecution/v1";
import { EnvironmentSchema, type Environment } from "@stigmer/protos/environment/v1";
import { ExecutionContextSchema, type ExecutionContext } from "@stigmer/protos/executioncontext/v1";
import { McpServerSchema, type McpServer } from "@stigmer/protos/mcpserver/v1";
import { SecretsError } from "./errors.ts";
import { SECRET_MASK, type Secrets } from "./secrets.ts";

/** A named value as EnvironmentValue and ExecutionValue share it. */
interface NamedValue {
  value: string;
  isSecret: boolean;
}

// AES-256-GCM, a fresh nonce each time; the name is bound in, so that a sealed value can't be moved under another name.
const SEALED_PREFIX = "sealed:v1:";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** `key` has 32 bytes: AES-256. */
export function createSecrets(key: Uint8Array): Secrets {
  if (key.length !== 32) throw new SecretsError(`The encryption key has ${key.length} bytes, not 32.`);

  const seal = (name: string, text: string): string => {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(name));
    const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return SEALED_PREFIX + sealed.toString("base64url");
  };

  const open = (name: string, sealed: string): string => {
    // A value that was stored empty (declared, but without a value) stays empty.
    if (!sealed.startsWith(SEALED_PREFIX)) return sealed;
    const bytes = Buffer.from(sealed.slice(SEALED_PREFIX.length), "base64url");
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(name));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString(
        "utf8",
      );
    } catch (cause) {
      throw new SecretsError(
        `The secret ${name} can't be decrypted: the encryption key is not the one it was stored with. Give it anew.`,
        { cause },
      );
    }
  };

  return {
    seal(message, previous) {
      const before = previous === undefined ? {} : valuesOf(previous);
      return mapSecrets(message, (name, value) => {
        if (value === "") return value;
        const kept = before[name];
        if (value !== SECRET_MASK || !kept?.isSecret) return seal(name, value);
        return kept.value.startsWith(SEALED_PREFIX) ? kept.value : seal(name, kept.value);
      });
    },
    open: (message) => mapSecrets(message, open),
    mask: (message) => mapSecrets(message, (_name, value) => (value === "" ? value : SECRET_MASK)),
    equal(a, b) {
      const [left, right] = [valuesOf(a), valuesOf(b)];
      const names = Object.keys(left);
      return (
        names.length === Object.keys(right).length &&
        names.every((name) => {
          const [l, r] = [left[name], right[name]];
          return l !== undefined && r !== undefined && l.isSecret === r.isSecret && same(name, l, r);
        })
      );
    },
  };

  /** What another key sealed is like nothing: it can be given anew. */
  function same(name: string, left: NamedValue, right: NamedValue): boolean {
    if (left.value === right.value) return true;
    try {
      return clear(name, left) === clear(name, right);
    } catch (error) {
      if (SecretsError.is(error)) return false;
      throw error;
    }
  }

  function clear(name: string, value: NamedValue): string {
    return value.isSecret ? open(name, value.value) : value.value;
  }
}

function mapSecrets<T extends Message>(message: T, change: (name: string, value: string) => string): T {
  const schema = schemaOf(message);
  if (!schema || !Object.values(valuesOf(message)).some((value) => value.isSecret)) return message;
  const copy = clone(schema, message) as T;
  for (const [name, value] of Object.entries(valuesOf(copy))) {
    if (value.isSecret) value.value = change(name, value.value);
  }
  return copy;
}

// A resource of the contract that carries values and is not named here fails `carriers.test.ts`.
const CARRIERS: ReadonlyMap<
  string,
  { schema: DescMessage; values: (message: Message) => Record<string, NamedValue> | undefined }
> = new Map([
  [EnvironmentSchema.typeName, { schema: EnvironmentSchema, values: (m) => (m as Environment).spec?.data }],
  [AgentSchema.typeName, { schema: AgentSchema, values: (m) => (m as Agent).spec?.envSpec?.data }],
  [McpServerSchema.typeName, { schema: McpServerSchema, values: (m) => (m as McpServer).spec?.envSpec?.data }],
  [
    ExecutionContextSchema.typeName,
    { schema: ExecutionContextSchema, values: (m) => (m as ExecutionContext).spec?.data },
  ],
  [
    AgentExecutionSchema.typeName,
    { schema: AgentExecutionSchema, values: (m) => (m as AgentExecution).spec?.runtimeEnv },
  ],
]);

function schemaOf(message: Message): DescMessage | undefined {
  return CARRIERS.get(message.$typeName)?.schema;
}

function valuesOf(message: Message): Record<string, NamedValue> {
  return CARRIERS.get(message.$typeName)?.values(message) ?? {};
}
