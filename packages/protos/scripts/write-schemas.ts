// Writes schemas/: one JSON Schema for manifests of each kind, and manifest.json for files with several kinds.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DescMessage } from "@bufbuild/protobuf";
import { AgentSchema } from "../src/gen/ai/stigmer/agentic/agent/v1/index.js";
import { AgentInstanceSchema } from "../src/gen/ai/stigmer/agentic/agentinstance/v1/index.js";
import { EnvironmentSchema } from "../src/gen/ai/stigmer/agentic/environment/v1/index.js";
import { McpServerSchema } from "../src/gen/ai/stigmer/agentic/mcpserver/v1/index.js";
import { SessionSchema } from "../src/gen/ai/stigmer/agentic/session/v1/index.js";
import { SkillSchema } from "../src/gen/ai/stigmer/agentic/skill/v1/index.js";
import type { ResourceKind } from "../src/kinds.ts";
import { createComments } from "./comments.ts";
import { manifestSchema } from "./json-schema.ts";

export const schemasDir: string = join(import.meta.dirname, "../schemas");

const addressOf = (file: string): string => `https://unpkg.com/@stigmer/protos/schemas/${file}`;

/** What `stigmer apply` takes. */
const manifests: readonly (readonly [ResourceKind, DescMessage])[] = [
  ["Environment", EnvironmentSchema],
  ["Skill", SkillSchema],
  ["McpServer", McpServerSchema],
  ["Agent", AgentSchema],
  ["AgentInstance", AgentInstanceSchema],
  ["Session", SessionSchema],
];

/** The texts of all schemas, by file name. */
export function renderSchemas(): ReadonlyMap<string, string> {
  const comments = createComments();
  const text = (schema: object): string => `${JSON.stringify(schema, null, 2)}\n`;
  const fileOf = (kind: ResourceKind): string => `${kind.toLowerCase()}.json`;
  const rendered = manifests.map(([kind, message]): [string, string] => {
    const id = addressOf(fileOf(kind));
    return [fileOf(kind), text(manifestSchema({ id, kind, message }, comments))];
  });
  const any = {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: addressOf("manifest.json"),
    title: "Stigmer manifest",
    description: "A resource of any kind that `stigmer apply` takes.",
    type: "object",
    required: ["kind"],
    properties: { kind: { enum: manifests.map(([kind]) => kind) } },
    allOf: manifests.map(([kind]) => ({
      if: { required: ["kind"], properties: { kind: { const: kind } } },
      // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
      then: { $ref: fileOf(kind) },
    })),
  };
  return new Map([...rendered, ["manifest.json", text(any)]]);
}

if (import.meta.main) {
  rmSync(schemasDir, { recursive: true, force: true });
  mkdirSync(schemasDir);
  for (const [file, text] of renderSchemas()) writeFileSync(join(schemasDir, file), text);
}
