// The hash as the README tells it, over any message's descriptor, and in no other file's words.
import { type DescField, ScalarType } from "@bufbuild/protobuf";
import { isReflectList, isReflectMap, isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type AgentExecutionStatus, AgentExecutionStatusSchema } from "@stigmer/protos/agentexecution/v1";

type Lanes = [number, number];

const LEFT_OUT = new Set(["audit", "callback_token", "revision"]);

export function hashByTheReadme(status: AgentExecutionStatus): string {
  const hex = hashMessage(reflect(AgentExecutionStatusSchema, status)).map((lane) => lane.toString(16).padStart(8, "0"));
  return `3:${hex.join("")}`;
}

function hashMessage(message: ReflectMessage): Lanes {
  const top = message.desc.typeName === AgentExecutionStatusSchema.typeName;
  const fields = message.fields.filter((field) => message.isSet(field) && !(top && LEFT_OUT.has(field.name)));
  return xor(fields.map((field) => placed(field.number, hash(message.get(field), field))));
}

function hash(value: unknown, field: DescField): Lanes {
  if (isReflectMessage(value)) return hashMessage(value);
  if (isReflectList(value)) return xor([...value].map((item, at) => placed(at, hash(item, field))));
  if (isReflectMap(value)) {
    const entries = [...value].map(([key, item]) => xor([placed(1, text(String(key))), placed(2, hash(item, field))]));
    return xor(entries.map((entry) => placed(0, entry)));
  }
  if (typeof value === "string") return text(value);
  const bytes = Buffer.alloc(field.scalar === ScalarType.DOUBLE ? 8 : 4);
  if (field.scalar === ScalarType.DOUBLE) bytes.writeDoubleLE(Number(value) + 0);
  else bytes.writeInt32LE(Number(value) | 0);
  return hashBytes(bytes);
}

function text(value: string): Lanes {
  return hashBytes(Buffer.from(value, "utf8"));
}

function hashBytes(bytes: Uint8Array): Lanes {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (const byte of bytes) {
    a = times(a ^ byte, 0x01000193);
    b = times(((b << 5) | (b >>> 27)) ^ byte, 0x9e3779b1);
  }
  return [a, b];
}

function placed(tag: number, [a, b]: Lanes): Lanes {
  const first = scramble(a ^ times(tag + 1, 0x9e3779b1));
  return [first, scramble(b ^ times(tag + 1, 0x85ebca77) ^ first)];
}

function scramble(x: number): number {
  let y = x >>> 0;
  y = times(y ^ (y >>> 16), 0x85ebca6b);
  y = times(y ^ (y >>> 13), 0xc2b2ae35);
  return (y ^ (y >>> 16)) >>> 0;
}

function times(x: number, y: number): number {
  return Number((BigInt(x >>> 0) * BigInt(y)) & 0xffffffffn);
}

function xor(all: readonly Lanes[]): Lanes {
  return all.reduce<Lanes>(([a, b], [c, d]) => [(a ^ c) >>> 0, (b ^ d) >>> 0], [0, 0]);
}
