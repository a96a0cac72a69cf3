// Organisations that own one of everything, and callers that ask for what is another's, over a real server.
import {
  create,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createId, kinds, type ResourceKind } from "@stigmer/protos";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  ExecutionPhase,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { ApiKeyCommandController } from "@stigmer/protos/apikey/v1";
import { AuditQueryController } from "@stigmer/protos/audit/v1";
import { EnvironmentCommandController } from "@stigmer/protos/environment/v1";
import { Role } from "@stigmer/protos/iam/v1";
import { McpServerCommandController } from "@stigmer/protos/mcpserver/v1";
import { OrganizationCommandController } from "@stigmer/protos/organization/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { SkillCommandController } from "@stigmer/protos/skill/v1";
import { strToU8, zipSync } from "fflate";
import { hashOfApiKey, type Authenticator } from "../interceptors/principal.ts";
import type { PrincipalRole } from "../interceptors/role.ts";
import { API_SERVICES } from "../services/api-services.ts";
import { createRandom, pick, type Random, randomMessage, type Words } from "./random-requests.ts";
import { foreignFence, type FuzzEngine, holdRun, isRunnersOwn, plantCall, readAsHolder, undueDeedsIn } from "./runners-own.ts";

/** The callers of the fuzz, by tokens `<organisation>.<role>`. */
export const fuzzAuthenticator: Authenticator = async (token) => {
  const [org, role, rest] = token.split(".");
  if (!org || !role || rest !== undefined) return undefined;
  return { id: `${role} of ${org}`, org, role: role as PrincipalRole };
};

/** `vault` never calls: nothing of it may come out, and nothing of it may change. */
const ORGS = ["acme", "globex", "vault"] as const;
type Org = (typeof ORGS)[number];
const CALLING: readonly Org[] = ["acme", "globex"];
const ROLES: readonly PrincipalRole[] = ["owner", "owner", "member", "member", "viewer", "runner"];

/** Stands in everything that an organisation says. */
const canaryOf = (org: Org): string => `canary<${org}>`;

interface Planted {
  readonly ids: ReadonlyMap<ResourceKind, readonly string[]>;
  readonly slugs: readonly string[];
  readonly hashes: readonly string[];
  readonly pageTokens: readonly string[];
  /** `<execution id>/<fence>` of a run in work. */
  readonly fence: string;
}

export interface FuzzResult {
  readonly seed: number;
  readonly requests: number;
  /** What came out that should not have. */
  readonly leaks: readonly string[];
  /** By method: how often it was answered, and how often refused by which code. */
  readonly answers: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

export interface Fuzz {
  /** `among`: only of these methods. */
  run(options: { readonly seed: number; readonly requests: number; readonly among?: (method: DescMethod) => boolean }): Promise<FuzzResult>;
  /** Asks the same once of a foreign id and once of one that is not there: answers what differs. */
  compare(options: { readonly seed: number; readonly requests: number }): Promise<string[]>;
  /** Everything that the vault's owner sees of it. */
  readVault(): Promise<string>;
}

const METHODS: readonly { readonly service: DescService; readonly method: DescMethod }[] = API_SERVICES.flatMap(
  (service) => service.methods.map((method) => ({ service, method })),
);
const ID = /\b[a-z]{2,4}-[0-9a-z]{26}\b/g;

/** Plants, and answers what to do with it. `endpoint`: a server in cloud mode with `fuzzAuthenticator`. */
export async function prepareFuzz(endpoint: string, engine: FuzzEngine = "embedded"): Promise<Fuzz> {
  const transport = createGrpcTransport({ baseUrl: `http://${endpoint}` });
  const planted = new Map<Org, Planted>();
  for (const org of ORGS) planted.set(org, await plant(transport, engine, org));
  /** Whose an id is. What is made later is its maker's. */
  const owners = new Map<string, Org>();
  for (const [org, { ids }] of planted) for (const id of [...ids.values()].flat()) owners.set(id, org);
  /** What an organisation has asked for. Its audit log tells that again, also what was refused. */
  const named = new Map<Org, Set<string>>(ORGS.map((org) => [org, new Set()]));

  function ofOrg(org: Org): Planted {
    const found = planted.get(org);
    if (!found) throw new Error(`Nothing was planted for ${org}.`);
    return found;
  }

  function wordsOf(random: Random, caller: Org, target: Org): { -readonly [Word in keyof Words]: Words[Word] } {
    const { ids, slugs, hashes, pageTokens } = ofOrg(target);
    const all = [...ids.values()].flat();
    return {
      id: (kind) => pick(random, (kind && ids.get(kind)) || all),
      slug: () => pick(random, slugs),
      org: () => target,
      pageToken: () => pick(random, pageTokens),
      hash: () => pick(random, hashes),
      text: () => `${canaryOf(caller)} ${Math.floor(random() * 1000)}`,
      artifact: () => archiveOf(caller, "made"),
      fence: () => (caller === target ? Number(ofOrg(caller).fence.split("/")[1]) : foreignFence(random, ofOrg(target).fence)),
    };
  }

  /** Runs that wait for the one in work. */
  function waitingOf(org: Org): readonly string[] {
    const { ids, fence } = ofOrg(org);
    return (ids.get("AgentExecution") ?? []).filter((id) => !fence.startsWith(`${id}/`));
  }

  /** Of its own an organisation reads and makes; it deletes nothing, so that there is something left to be found. */
  function targetOf(random: Random, caller: Org, method: DescMethod): Org {
    const isEnd = ["delete", "cancel", "completeLease", "releaseLease", "patchStatus"].includes(method.localName);
    if (!isEnd && random() < 0.15) return caller;
    return pick(random, ORGS.filter((org) => org !== caller));
  }

  /** What of others stands in an answer, beside what the caller said itself. */
  function leaksIn(text: string, caller: Org, asked: string): string[] {
    const found = ORGS.filter((org) => org !== caller && text.includes(canaryOf(org))).map((org) => canaryOf(org));
    for (const [id] of text.matchAll(ID)) {
      const owner = owners.get(id) ?? caller;
      owners.set(id, owner);
      if (owner !== caller && !asked.includes(id)) found.push(`${id} of ${owner}`);
    }
    return found;
  }

  async function one(random: Random, { service, method }: (typeof METHODS)[number], note: Note): Promise<void> {
    const caller = pick(random, CALLING);
    // What is a runner's own is refused to all others in the same way.
    const role = isRunnersOwn(method) && random() < 0.8 ? "runner" : pick(random, ROLES);
    const target = targetOf(random, caller, method);
    const kind = kindOf(service);
    const words = wordsOf(random, caller, target);
    // A runner gets what Temporal gives it, of whichever organisation: it is the other runs that it may not take.
    if (method.localName === "claimExecution") words.id = () => pick(random, waitingOf(target));
    const make = (): Message => randomMessage(method.input, { random, words, kind });
    // A runner's stream of entries has many.
    const requests = method.methodKind === "bidi_streaming" ? [make(), make(), make()] : [make()];
    const header: Record<string, string> = { authorization: `Bearer ${caller}.${role}` };
    // A guessed fence is good for nothing in the hands of others than runners.
    if (role === "runner" || random() < 0.3) header["stigmer-fence"] = ofOrg(role === "runner" ? caller : target).fence;
    const asked = `${requests.map((request) => toJsonString(method.input, request)).join(" ")} ${header["stigmer-fence"] ?? ""}`;
    for (const [id] of asked.matchAll(ID)) named.get(caller)?.add(id);
    const answer = await ask(transport, method, { requests, header });
    const told = service.typeName === AuditQueryController.typeName ? [...(named.get(caller) ?? [])].join(" ") : "";
    const undue = undueDeedsIn({ method, role, foreign: caller !== target, ...answer });
    const leaks = [...undue, ...leaksIn(`${answer.text}\n${answer.headers}`, caller, `${asked} ${told}`)];
    note({ name: `${service.name}/${method.localName}`, code: answer.code, leaks, context: `${caller}.${role} asked ${asked}` });
  }

  return {
    async run({ seed, requests, among = () => true }) {
      const random = createRandom(seed);
      const leaks: string[] = [];
      const answers = new Map<string, Map<string, number>>();
      const note: Note = ({ name, code, leaks: found, context }) => {
        const counts = answers.get(name) ?? new Map<string, number>();
        answers.set(name, counts.set(code, (counts.get(code) ?? 0) + 1));
        if (found.length > 0 && leaks.length < 100) leaks.push(`${name}: ${found.join(", ")} when ${context}`);
      };
      let left = requests;
      const methods = METHODS.filter(({ method }) => among(method));
      const work = async (): Promise<void> => {
        while (left-- > 0) await one(random, pick(random, methods), note);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      return { seed, requests, leaks, answers };
    },
    async compare({ seed, requests }) {
      const random = createRandom(seed);
      const differing: string[] = [];
      // An id that is given to something new is taken or free, whoever has it.
      const methods = METHODS.filter(({ method }) => !isRunnersOwn(method) && !["create", "apply", "push"].includes(method.localName));
      const compareOne = async (): Promise<void> => {
        const { service, method } = pick(random, methods);
        const kind = kindOf(service);
        const request = randomMessage(method.input, { random, words: wordsOf(random, "acme", "vault"), kind });
        const text = toJsonString(method.input, request);
        const strange = new Map([...text.matchAll(ID)].map(([id]) => [id, `${id.slice(0, -4)}zzzz`]));
        const elsewhere = replaceStrings(method, request, strange);
        const header = { authorization: `Bearer acme.${pick(random, ["owner", "member", "viewer"])}` };
        const there = await ask(transport, method, { requests: [request], header });
        const nowhere = await ask(transport, method, { requests: [elsewhere], header });
        const plain = [...strange].reduce((said, [id, other]) => said.replaceAll(other, id), nowhere.text);
        if (there.code !== nowhere.code || (there.code !== "ok" && there.text !== plain)) {
          differing.push(`${service.name}/${method.localName}: ${there.code} ${there.text}, but ${nowhere.code} ${plain}`);
        }
      };
      let left = requests;
      const work = async (): Promise<void> => {
        while (left-- > 0) await compareOne();
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      return differing;
    },
    async readVault() {
      const header = { authorization: "Bearer vault.owner" };
      const told: string[] = [];
      for (const { service, method } of METHODS) {
        const kind = kindOf(service);
        if (method.localName !== "get" || kind === undefined) continue;
        for (const value of ofOrg("vault").ids.get(kind) ?? []) {
          const request = create(method.input, { value } as never);
          const { code, text } = await ask(transport, method, { requests: [request], header });
          told.push(`${value} ${code} ${text}`);
        }
      }
      told.push(await readAsHolder(transport, engine, ofOrg("vault").fence));
      return told.join("\n");
    },
  };
}

type Note = (noted: { name: string; code: string; leaks: readonly string[]; context: string }) => void;

function kindOf({ name }: DescService): ResourceKind | undefined {
  const kind = name.replace(/(Command|Query)Controller$/, "");
  return kind in kinds ? (kind as ResourceKind) : undefined;
}

function replaceStrings(method: DescMethod, request: Message, strings: ReadonlyMap<string, string>): Message {
  const copy = structuredClone(request) as Message;
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
    for (const [key, part] of Object.entries(value)) {
      const other = typeof part === "string" ? strings.get(part) : undefined;
      if (other !== undefined) Object.assign(value, { [key]: other });
      const renamed = strings.get(key);
      if (renamed !== undefined) {
        Object.assign(value, { [renamed]: part });
        Reflect.deleteProperty(value, key);
      }
      walk(part);
    }
  };
  walk(copy);
  return create(method.input, copy as never);
}

const AT_ONCE = 24;
/** How many messages of a stream are looked at, and for how long after the first, in milliseconds. */
const STREAM_MESSAGES = 8;
const STREAM_MS = 100;
/** How long one may say nothing at all: who watches a run from where it stands hears nothing until it changes. In milliseconds. */
const SILENT_MS = 10_000;
/** How long anything may take, in milliseconds: the machine may be busy. */
const PATIENCE_MS = 120_000;

interface Answer {
  readonly code: string;
  /** All messages, or the refusal with its details. */
  readonly text: string;
  readonly headers: string;
  readonly answers: readonly Message[];
}

async function ask(
  transport: Transport,
  method: DescMethod,
  { requests, header }: { readonly requests: readonly Message[]; readonly header: Record<string, string> },
): Promise<Answer> {
  const said: string[] = [];
  const answers: Message[] = [];
  const say = (message: Message): void => {
    answers.push(message);
    said.push(Buffer.from(toBinary(method.output, message)).toString("latin1"));
  };
  const stop = new AbortController();
  try {
    if (method.methodKind === "unary") {
      const answer = await transport.unary(method as DescMethodUnary, undefined, PATIENCE_MS, header, requests[0] as never);
      say(answer.message);
      const headers = JSON.stringify([...answer.header, ...answer.trailer]);
      return { code: "ok", text: said.join("\n"), headers, answers };
    }
    async function* all(): AsyncGenerator<never> {
      for (const request of requests) yield request as never;
    }
    let timer = setTimeout(() => stop.abort(), SILENT_MS);
    try {
      const answer = await transport.stream(method as DescMethodStreaming, stop.signal, PATIENCE_MS, header, all());
      for await (const message of answer.message) {
        say(message);
        if (said.length === STREAM_MESSAGES) break;
        if (said.length > 1) continue;
        clearTimeout(timer);
        timer = setTimeout(() => stop.abort(), STREAM_MS);
      }
    } finally {
      clearTimeout(timer);
    }
    return { code: "ok", text: said.join("\n"), headers: "", answers };
  } catch (error) {
    if (stop.signal.aborted) return { code: "ok", text: said.join("\n"), headers: "", answers };
    const refusal = ConnectError.from(error);
    const details = refusal.details.map((detail) => ("value" in detail ? Buffer.from(detail.value as Uint8Array).toString("latin1") : JSON.stringify(detail)));
    const headers = JSON.stringify([...refusal.metadata]);
    return { code: Code[refusal.code], text: [...said, refusal.rawMessage, ...details].join("\n"), headers, answers };
  }
}

function archiveOf(org: Org, name: string): Uint8Array {
  const text = `---\nname: ${name}\ndescription: ${canaryOf(org)}\n---\n${canaryOf(org)}\n`;
  // Not compressed, so that the canary can be seen in it.
  return zipSync({ "SKILL.md": strToU8(text) }, { level: 0, mtime: new Date("2026-01-01") });
}

async function plant(transport: Transport, engine: FuzzEngine, org: Org): Promise<Planted> {
  const canary = canaryOf(org);
  const as = { headers: { authorization: `Bearer ${org}.owner` } };
  const runner = { headers: { authorization: "Bearer x.runner" } };
  const apiVersion = "agentic.stigmer.ai/v1";
  const named = (kind: ResourceKind) => ({ apiVersion: kinds[kind].apiVersion, kind, metadata: { name: canary, slug: `${org}-${kind.toLowerCase()}` } });
  const secret = { TOKEN: { value: canary, isSecret: true }, OPEN: { value: canary } };
  const agents = createClient(AgentCommandController, transport);
  const executions = createClient(AgentExecutionCommandController, transport);

  const organization = await createClient(OrganizationCommandController, transport).create(
    { ...named("Organization"), metadata: { name: org, slug: org }, spec: { description: canary } },
    as,
  );
  const agent = await agents.create({ ...named("Agent"), spec: { instructions: canary, envSpec: { data: secret } } }, as);
  const environment = await createClient(EnvironmentCommandController, transport).create(
    { ...named("Environment"), spec: { description: canary, data: secret } },
    as,
  );
  const mcp = await createClient(McpServerCommandController, transport).create(
    { ...named("McpServer"), spec: { description: canary, serverType: { case: "stdio", value: { command: canary } } } },
    as,
  );
  const skill = await createClient(SkillCommandController, transport).push(
    { name: `${org}-skill`, org, artifact: archiveOf(org, `${org}-skill`) },
    as,
  );
  const key = await createClient(ApiKeyCommandController, transport).create(
    { ...named("ApiKey"), metadata: { name: canary }, spec: { role: Role.MEMBER } },
    as,
  );
  const runs: string[] = [];
  let sessionId = "";
  for (const _ of [1, 2, 3]) {
    const where = sessionId === "" ? { agentId: agent.metadata?.id } : { sessionId };
    const run = await executions.create(
      { apiVersion, kind: "AgentExecution", metadata: { name: canary }, spec: { ...where, message: canary, runtimeEnv: secret } },
      as,
    );
    sessionId = run.spec?.sessionId ?? "";
    runs.push(run.metadata?.id ?? "");
  }
  const fence = await holdRun(transport, engine, runs[0] ?? "");
  await executions.updateStatus(
    {
      executionId: runs[0],
      status: {
        phase: ExecutionPhase.EXECUTION_IN_PROGRESS,
        messages: [{ content: canary }],
        toolCalls: [
          { id: "call-1", name: "execute", args: { command: canary }, status: ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL, approval: { reason: canary } },
        ],
      },
    },
    { headers: { ...runner.headers, "stigmer-fence": fence } },
  );
  await plantCall(transport, fence, canary);
  // Of a session whose run is in work any runner may ask for the thread's name, which is given once.
  await createClient(RunnerController, transport).ensureThread({ sessionId }, runner);
  const list = await createClient(AgentExecutionQueryController, transport).list({ pageSize: 1 }, as);
  const id = (resource: { metadata?: { id: string } }): string => resource.metadata?.id ?? "";
  const shown = key.spec?.keyHash ?? "";
  return {
    ids: new Map<ResourceKind, string[]>([
      ["Organization", [id(organization)]],
      ["Agent", [id(agent)]],
      ["AgentInstance", [agent.status?.defaultInstanceId ?? ""]],
      ["Environment", [id(environment)]],
      ["McpServer", [id(mcp)]],
      ["Skill", [id(skill)]],
      ["ApiKey", [id(key)]],
      ["Session", [sessionId]],
      ["AgentExecution", runs],
      ["ExecutionContext", [createId("ExecutionContext")]],
    ]),
    slugs: [...["agent", "environment", "mcpserver", "skill"].map((kind) => `${org}-${kind}`), org],
    hashes: [skill.status?.versionHash ?? "", hashOfApiKey(shown)],
    pageTokens: [list.nextPageToken],
    fence,
  };
}
