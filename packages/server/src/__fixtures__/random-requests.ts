// Requests of any method from its description alone, out of given words: what a new method can be asked is asked, too.
import { create, type DescEnum, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { kinds, type ResourceKind } from "@stigmer/protos";

/** The name of the one call in the ledger of each held run. */
export const CALL_KEY = "m1/c1";
export const QUEUE = "agent_execution_runner";

/** Numbers in [0, 1), the same for the same seed. */
export type Random = () => number;

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function pick<T>(random: Random, from: readonly T[]): T {
  const item = from[Math.floor(random() * from.length)];
  if (item === undefined) throw new Error("There is nothing to pick from.");
  return item;
}

/** What requests are made of. */
export interface Words {
  /** An id of this kind, or of any when the request does not say which. */
  readonly id: (kind: ResourceKind | undefined) => string;
  slug(): string;
  org(): string;
  pageToken(): string;
  /** A hash of an archive or of a key. */
  hash(): string;
  /** Anything that is said; never what belongs to somebody else. */
  text(): string;
  artifact(): Uint8Array;
  /** Of the run that is asked for, where that is the caller's; else any other number. */
  fence(): number;
}

const KIND_OF_FIELD: Readonly<Record<string, ResourceKind>> = {
  agent_id: "Agent",
  agent_instance_id: "AgentInstance",
  session_id: "Session",
  execution_id: "AgentExecution",
  task_id: "AgentExecution",
};

/** A random message. `kind` is what `value`, `resource_id` and `metadata.id` are ids of. */
export function randomMessage(
  desc: DescMessage,
  options: { readonly random: Random; readonly words: Words; readonly kind: ResourceKind | undefined },
): Message {
  const { random, words, kind } = options;
  const isResource = kind !== undefined && desc.name === kind;

  function text(field: DescField, owner: DescMessage, inMetadata: boolean): string {
    switch (field.name) {
      case "api_version":
        return kind ? kinds[kind].apiVersion : words.text();
      case "kind":
        return isResource && kind ? kind : "";
      case "value":
        return owner.name.includes("Hash") ? words.hash() : words.id(kind);
      case "id":
        return inMetadata && random() < 0.5 ? words.id(kind) : "";
      case "resource_id":
        return words.id(kind);
      case "org":
        return random() < 0.2 ? words.org() : "";
      case "slug":
        // A context is called by its run. As the name of something new that would only come back to who said it.
        return kind === "ExecutionContext" && !inMetadata ? words.id("AgentExecution") : words.slug();
      case "name":
        return inMetadata || owner.name === "PushSkillRequest" ? words.slug() : words.text();
      case "page_token":
        return random() < 0.4 ? words.pageToken() : "";
      case "artifact_storage_key":
      case "key_hash":
        return words.hash();
      case "version":
        return pick(random, ["", "latest", words.hash()]);
      case "call_key":
        return CALL_KEY;
      // On the runners' own queue everybody's runs wait, and any runner may have them.
      case "task_queue":
        return `not ${QUEUE}`;
      case "tool_call_id":
        return "call-1";
      case "workspace_dir":
      case "sandbox_id":
      case "thread_id":
        return "";
      default: {
        const named = KIND_OF_FIELD[field.name];
        return named ? words.id(named) : words.text();
      }
    }
  }

  function number(field: DescField): number {
    if (field.name === "fence") return words.fence();
    if (field.name === "page_size" || field.name === "size") return Math.floor(random() * 4);
    return Math.floor(random() * 3);
  }

  function constant({ values }: DescEnum): number {
    return pick(random, values).number;
  }

  function scalar(field: DescField, owner: DescMessage, inMetadata: boolean): unknown {
    switch (field.scalar) {
      case 9:
        return text(field, owner, inMetadata);
      case 12:
        if (field.name === "result") return Buffer.from(words.text());
        return field.name === "artifact" ? words.artifact() : new Uint8Array();
      case 8:
        return random() < 0.5;
      case 3:
      case 4:
      case 6:
      case 16:
      case 18:
        return BigInt(number(field));
      default:
        return number(field);
    }
  }

  function fill(message: Message, owner: DescMessage, depth: number, inMetadata: boolean): Message {
    const reflected = reflect(owner, message);
    const set = (field: DescField): void => {
      switch (field.fieldKind) {
        case "scalar":
          reflected.set(field, scalar(field, owner, inMetadata));
          return;
        case "enum":
          reflected.set(field, constant(field.enum));
          return;
        case "message": {
          const isNeeded = ["metadata", "spec", "lease", "delta", "status", "id", "begin", "finish"].includes(field.name);
          if (depth > 3 || field.message.typeName.startsWith("google.") || (!isNeeded && random() < 0.6)) return;
          const inner = fill(create(field.message), field.message, depth + 1, field.name === "metadata");
          reflected.set(field, reflect(field.message, inner));
          return;
        }
        case "list": {
          if (random() < 0.6 || depth > 3) return;
          const list = reflected.get(field);
          if (field.listKind === "message") list.add(reflect(field.message, fill(create(field.message), field.message, depth + 1, false)));
          else if (field.listKind === "scalar" && field.scalar === 9) list.add(words.text());
          return;
        }
        case "map": {
          if (random() < 0.7 || depth > 3) return;
          if (field.name === "after_revisions") reflected.get(field).set(words.id("AgentExecution"), 1);
          else if (field.mapKind === "scalar" && field.scalar === 9) reflected.get(field).set("label", words.text());
        }
      }
    };
    for (const member of reflected.members) {
      if (member.kind === "oneof") set(pick(random, member.fields));
      else set(member);
    }
    return message;
  }

  return fill(create(desc), desc, 0, false);
}
