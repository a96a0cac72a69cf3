import { globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { AgentSchema } from "../src/gen/ai/stigmer/agentic/agent/v1/index.js";
import { AgentInstanceSchema } from "../src/gen/ai/stigmer/agentic/agentinstance/v1/index.js";
import { EnvironmentSchema } from "../src/gen/ai/stigmer/agentic/environment/v1/index.js";
import { McpServerSchema } from "../src/gen/ai/stigmer/agentic/mcpserver/v1/index.js";
import { SessionSchema } from "../src/gen/ai/stigmer/agentic/session/v1/index.js";
import { SkillSchema } from "../src/gen/ai/stigmer/agentic/skill/v1/index.js";
import { renderSchemas, schemasDir } from "./write-schemas.ts";

const rendered = renderSchemas();

test("the schemas are current", () => {
  const howTo = "is not that of proto/: run `npx -y pnpm@12 generate` and commit";
  expect(readdirSync(schemasDir).toSorted()).toEqual([...rendered.keys()].toSorted());
  for (const [file, text] of rendered)
    expect(readFileSync(join(schemasDir, file), "utf8"), `${file} ${howTo}`).toBe(text);
});

const ajv = new Ajv({ allErrors: true, strictTypes: false, strictRequired: false });
// What editors know beside the standard.
for (const keyword of ["doNotSuggest", "markdownEnumDescriptions"]) ajv.addKeyword(keyword);
// An ES module's `default` and a CommonJS one's are not the same thing to Node and to TypeScript.
(addFormats as unknown as { default: (ajv: Ajv) => void }).default(ajv);
for (const text of rendered.values()) ajv.addSchema(JSON.parse(text) as object);
const schema = ajv.getSchema("https://unpkg.com/@stigmer/protos/schemas/manifest.json");

/** Where and why the schema refuses a manifest. */
function refusals(manifest: unknown): string[] {
  if (schema?.(manifest) === true) return [];
  return (schema?.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

const messages = {
  Agent: AgentSchema,
  AgentInstance: AgentInstanceSchema,
  Environment: EnvironmentSchema,
  McpServer: McpServerSchema,
  Session: SessionSchema,
  Skill: SkillSchema,
} as const;
const validator = createValidator();

/** Whether the contract's own rules take it. */
function isValid(manifest: TestManifest): boolean {
  const message = messages[manifest.kind];
  try {
    return validator.validate(message, fromJson(message, manifest as unknown as JsonValue)).kind === "valid";
  } catch {
    return false;
  }
}

const apiVersion = "agentic.stigmer.ai/v1";
interface TestManifest {
  readonly apiVersion?: string;
  readonly api_version?: string;
  readonly kind: keyof typeof messages;
  readonly metadata: object;
  readonly spec: object;
}

const resource = (kind: TestManifest["kind"], spec: object, metadata: object = {}): TestManifest => ({
  apiVersion,
  kind,
  metadata: { name: "x", ...metadata },
  spec,
});
const agent = (spec: object, metadata?: object): TestManifest =>
  resource("Agent", { instructions: "Do what is asked.", ...spec }, metadata);

describe("takes what the contract takes", () => {
  test.each<[what: string, manifest: TestManifest]>([
    ["the least", agent({})],
    [
      "field names in snake_case",
      {
        kind: "Agent",
        api_version: apiVersion,
        metadata: { name: "x" },
        spec: {
          instructions: "Do what is asked.",
          icon_url: "x",
          sub_agents: [{ name: "s", instructions: "Do what is asked.", model_name: "m" }],
        },
      },
    ],
    ["references", agent({ skillRefs: [{ kind: "skill", slug: "x", version: "stable" }] })],
    ["labels and a version", agent({}, { slug: "a-b-2", labels: { a: "b" }, version: { id: "ver-1" } })],
    [
      "rules and limits",
      agent({
        approvalPolicy: { rules: [{ tools: ["x"], action: "APPROVAL_ACTION_ASK" }] },
        limits: { maxCostUsd: 0.5, maxTokens: 1 },
      }),
    ],
    ["variables", resource("Environment", { data: { A: { value: "b", isSecret: true } } })],
    ["a server", resource("McpServer", { http: { url: "https://example.org/mcp", timeoutSeconds: 300 } })],
    [
      "a port",
      resource("McpServer", {
        docker: { image: "x", ports: [{ hostPort: 1, containerPort: 65535, protocol: "udp" }] },
      }),
    ],
    ["a workspace", resource("Session", { agentInstanceId: "x", workspaceDir: "/x" })],
    ["a sandbox", resource("Session", { agentInstanceId: "x", sandboxType: "SANDBOX_TYPE_ISOLATED" })],
    ["a skill", resource("Skill", { skillMd: "x", tag: "v1.0_x" })],
    ["an instance", resource("AgentInstance", { agentId: "x", environmentRefs: [{ kind: "environment", slug: "e" }] })],
  ])("%s", (_, manifest) => {
    expect(refusals(manifest)).toEqual([]);
    expect(isValid(manifest)).toBe(true);
  });
});

describe("refuses what the contract refuses, and says where", () => {
  test.each<[what: string, manifest: TestManifest, expected: string]>([
    [
      "short instructions",
      agent({ instructions: "short" }),
      "/spec/instructions must NOT have fewer than 10 characters",
    ],
    ["no instructions", agent({ instructions: undefined }), "/spec must have required property 'instructions'"],
    ["an unknown field", agent({ instruction: "x" }), "/spec must NOT have additional properties"],
    ["a number for a name", agent({}, { name: 12 }), "/metadata/name must be string"],
    ["a slug in upper case", agent({}, { slug: "Not-Good" }), "/metadata/slug must match pattern"],
    [
      "an owner that the kind can't have",
      agent({}, { ownerScope: "identity_account" }),
      "/metadata/ownerScope must be equal to one of the allowed values",
    ],
    [
      "a reference to another kind",
      agent({ skillRefs: [{ kind: "agent", slug: "x" }] }),
      "/spec/skillRefs/0/kind must be equal to one of the allowed values",
    ],
    [
      "a reference without a kind",
      agent({ skillRefs: [{ slug: "x" }] }),
      "/spec/skillRefs/0 must have required property 'kind'",
    ],
    [
      "a rule without an action",
      agent({ approvalPolicy: { rules: [{ tools: ["x"] }] } }),
      "/spec/approvalPolicy/rules/0 must have required property 'action'",
    ],
    ["a negative limit", agent({ limits: { maxToolCalls: -1 } }), "/spec/limits/maxToolCalls must be >= 0"],
    [
      "two ways to reach a server",
      resource("McpServer", { http: { url: "https://x.org" }, stdio: { command: "x" } }),
      "/spec must NOT be valid",
    ],
    [
      "no address",
      resource("McpServer", { http: { url: "not an address" } }),
      '/spec/http/url must match format "uri"',
    ],
    [
      "a port that is none",
      resource("McpServer", { docker: { image: "x", ports: [{ hostPort: 0, containerPort: 1 }] } }),
      "/spec/docker/ports/0/hostPort must be >= 1",
    ],
    [
      "a relative workspace",
      resource("Session", { agentInstanceId: "x", workspaceDir: "x" }),
      "/spec/workspaceDir must match pattern",
    ],
    ["a tag with a slash", resource("Skill", { skillMd: "x", tag: "a/b" }), "/spec/tag must match pattern"],
    ["another API version", { ...agent({}), apiVersion: "apps/v1" }, "/apiVersion must be equal to constant"],
  ])("%s", (_, manifest, expected) => {
    expect(refusals(manifest).join("\n")).toContain(expected);
    expect(isValid(manifest)).toBe(false);
  });

  test("a kind that is none", () => {
    expect(refusals({ ...agent({}), kind: "Agnt" })).toEqual(["/kind must be equal to one of the allowed values"]);
  });
});

test("takes every manifest in the examples and on the pages", () => {
  const root = join(import.meta.dirname, "../../..");
  const examples = globSync("examples/*/*.yaml", { cwd: root }).map((file) => [
    file,
    readFileSync(join(root, file), "utf8"),
  ]);
  // What a guide calls broken is there to be refused.
  const guides = globSync(["README.md", "docs/{*,guides/*}.md", "{packages,apps}/*/README.md"], { cwd: root }).flatMap(
    (file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/^```yaml(?! title="broken).*\n([^`]*)^```$/gm)].map(
        ([, text = ""]) => [file, text],
      ),
  );
  const found = [...examples, ...guides].flatMap(([file = "", text = ""]) =>
    [...parseAllDocuments(text)]
      .filter(({ errors }) => errors.length === 0)
      .map((document) => ({ file, manifest: document.toJS() as { apiVersion?: unknown } | null })),
  );
  const manifests = found.filter(({ manifest }) => manifest?.apiVersion === apiVersion);
  expect(manifests.length).toBeGreaterThan(20);
  for (const { file, manifest } of manifests)
    expect(refusals(manifest), `${file}: ${JSON.stringify(manifest)}`).toEqual([]);
});

test("says of every field and value what it is", () => {
  const silent: string[] = [];
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    const { properties, markdownEnumDescriptions } = value as {
      properties?: object;
      markdownEnumDescriptions?: string[];
    };
    for (const [name, field] of Object.entries(properties ?? {})) {
      const { description, ...rest } = field as { description?: string };
      const isNarrowed = !("type" in rest || "$ref" in rest || "allOf" in rest) || "doNotSuggest" in rest;
      if (!description && !isNarrowed) silent.push(`${path}/${name}`);
    }
    if (markdownEnumDescriptions?.includes("")) silent.push(path);
    for (const [key, inner] of Object.entries(value)) visit(inner, `${path}/${key}`);
  };
  for (const [file, text] of rendered) visit(JSON.parse(text), file);
  expect(silent).toEqual([]);
});
