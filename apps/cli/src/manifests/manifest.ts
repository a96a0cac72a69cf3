import { type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import { createValidator, type Validator, type Violation } from "@bufbuild/protovalidate";
import { agenticApiVersion, slugify } from "@stigmer/protos";
import { type Agent, AgentSchema } from "@stigmer/protos/agent/v1";
import { type AgentInstance, AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { type Environment, EnvironmentSchema } from "@stigmer/protos/environment/v1";
import { type McpServer, McpServerSchema } from "@stigmer/protos/mcpserver/v1";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { type Skill, SkillSchema } from "@stigmer/protos/skill/v1";
import { closest } from "../closest.ts";
import { checkFields } from "./check-fields.ts";
import type { ManifestProblem } from "./problems.ts";
import type { FieldPath, ManifestDocument } from "./read-documents.ts";
import { checkSkill } from "./skill-artifact.ts";

/** What can be applied, by kind. */
export interface ManifestMessages {
  Environment: Environment;
  Skill: Skill;
  McpServer: McpServer;
  Agent: Agent;
  AgentInstance: AgentInstance;
  Session: Session;
}

export type ManifestKind = keyof ManifestMessages;

/** A checked document. */
export type Manifest = {
  readonly [K in ManifestKind]: {
    readonly kind: K;
    readonly message: ManifestMessages[K];
    readonly slug: string;
    readonly document: ManifestDocument;
  };
}[ManifestKind];

export type ManifestResult =
  | { readonly ok: true; readonly manifest: Manifest }
  | { readonly ok: false; readonly problems: readonly ManifestProblem[] };

const schemas: Readonly<Record<ManifestKind, DescMessage>> = {
  Environment: EnvironmentSchema,
  Skill: SkillSchema,
  McpServer: McpServerSchema,
  Agent: AgentSchema,
  AgentInstance: AgentInstanceSchema,
  Session: SessionSchema,
};

/** In the order they are applied: what others refer to comes first. */
export const manifestKinds: readonly ManifestKind[] = Object.keys(schemas) as ManifestKind[];

/** Whether a document says of what kind and version it is, wrongly perhaps. Files that never do are no manifests. */
export function looksLikeManifest({ value }: ManifestDocument): boolean {
  return isRecord(value) && ["apiVersion", "api_version", "kind"].some((key) => key in value);
}

let validator: Validator | undefined;

/** Turns a document into the message of its kind, by the same rules as the server's. */
export function readManifest(document: ManifestDocument): ManifestResult {
  const { value } = document;
  if (!isRecord(value))
    return refused([document.problemAt([], "must be a mapping with apiVersion, kind, metadata, spec")]);
  const kind = value["kind"];
  const inHeader = checkHeader(document, value);
  if (inHeader.length > 0 || !isManifestKind(kind)) return refused(inHeader);

  const schema = schemas[kind];
  const inFields = checkFields(document, schema);
  if (inFields.length > 0) return refused(inFields);
  let message;
  try {
    message = fromJson(schema, value as JsonValue);
  } catch (error) {
    return refused([document.problemAt([], error instanceof Error ? error.message : String(error))]);
  }
  const result = (validator ??= createValidator()).validate(schema, message);
  if (result.kind === "error") throw result.error;
  if (result.kind === "invalid") {
    return refused(result.violations.map((violation) => toProblem(document, violation)));
  }
  const { name, slug } = (message as Agent).metadata ?? { name: "", slug: "" };
  const manifest = { kind, message, slug: slug || slugify(name), document } as Manifest;
  if (manifest.slug === "") {
    const advice = `no slug can be made from ${JSON.stringify(name)}: give one in metadata.slug`;
    return refused([document.problemAt(["metadata", "name"], advice)]);
  }
  if (manifest.kind === "Skill") {
    const inSkill = checkSkill(manifest.message);
    if (inSkill.length > 0) return refused(inSkill.map((text) => document.problemAt(["spec", "skillMd"], text)));
  }
  return { ok: true, manifest };
}

function checkHeader(document: ManifestDocument, value: Record<string, unknown>): ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const apiVersion = value["apiVersion"] ?? value["api_version"];
  const { kind } = value;
  if (apiVersion !== agenticApiVersion) {
    const was = apiVersion === undefined ? "is missing" : `is ${JSON.stringify(apiVersion)}`;
    problems.push(document.problemAt(["apiVersion"], `${was}: write ${agenticApiVersion}`));
  }
  if (isManifestKind(kind)) return problems;
  const was = kind === undefined ? "is missing" : `${JSON.stringify(kind)} can't be applied`;
  problems.push(document.problemAt(["kind"], `${was}: ${adviceForKind(kind)}`));
  return problems;
}

function adviceForKind(kind: unknown): string {
  if (kind === "AgentExecution") return "start a run with `stigmer run`";
  const near = typeof kind === "string" ? closest(kind, manifestKinds) : undefined;
  return near === undefined ? `write one of ${manifestKinds.join(", ")}` : `did you mean ${near}?`;
}

function isManifestKind(kind: unknown): kind is ManifestKind {
  return typeof kind === "string" && Object.hasOwn(schemas, kind);
}

function toProblem(document: ManifestDocument, { field, ruleId, message }: Violation): ManifestProblem {
  const isMissing = ruleId === "required" || message === "must be at least 1 characters";
  return document.problemAt(toFieldPath(field), isMissing ? "is required" : message);
}

function toFieldPath(path: Path): FieldPath {
  return path.flatMap((step): FieldPath => {
    switch (step.kind) {
      case "field":
        return [step.jsonName];
      case "list_sub":
        return [step.index];
      case "map_sub":
        return [String(step.key)];
      default:
        return [];
    }
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refused(problems: readonly ManifestProblem[]): ManifestResult {
  return { ok: false, problems };
}
