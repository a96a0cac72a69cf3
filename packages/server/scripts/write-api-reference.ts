// Writes docs/reference/api.md and a page for each package of the contract, from the descriptors, the comments in proto/ and the
// table of who may call what.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  ScalarType,
} from "@bufbuild/protobuf";
import { type Permission, permissionOf, rolesOf } from "../src/interceptors/permissions.ts";
import { API_SERVICES } from "../src/services/api-services.ts";
import { describeMessageRules, describeRules, isRequiredOneof } from "./field-rules.ts";
import { createProtoComments } from "./proto-comments.ts";

/** Where the pages are: `api.md`, and those of the packages in `api/`. */
export const referenceDir: string = fileURLToPath(new URL("../../../docs/reference/", import.meta.url));

const written =
  "<!-- Written by packages/server/scripts/write-api-reference.ts from proto/ and packages/server/src/interceptors/permissions.ts. Change those, not this file. -->";

const intro = `${written}

# API

Everything that \`stigmer\` does, it does by this API, and so can any program. One port speaks gRPC, gRPC-Web and
[Connect](https://connectrpc.com), whose unary calls are plain HTTP with JSON:

\`\`\`console
curl -H "authorization: Bearer $(cat ~/.stigmer/local.key)" -H "content-type: application/json" -d '{}' \\
  localhost:50051/ai.stigmer.agentic.agent.v1.AgentQueryController/list
\`\`\`

The path of a call is \`/<package>.<service>/<method>\`. Fields in JSON are camelCase, and snake_case is read too. gRPC's reflection
lists all services and messages, so \`grpcurl\` needs no files; \`grpc.health.v1.Health\` answers without a key. For TypeScript there is
[@stigmer/client](../../packages/client/README.md), and the bare messages and services as
[@stigmer/protos](../../packages/protos/README.md). The sources are in [\`proto/\`](../../proto).

**Who may call.** Each call carries \`authorization: Bearer KEY\`. On one's own machine the key in \`local.key\` may do everything. In cloud
mode a key or token has one role of one organization: a viewer may what is marked viewer, a member that and what is marked member, an
owner all of these. Keys of role runner are for [runners](../concepts.md#runner) alone: *holds* means in the organization of a run whose fence
it shows, *claims* also without one, by taking the run that is named.

**Errors** are gRPC's codes with a message for people; [the server's README](../../packages/server/README.md#services) says which code means
what. A refused field is named, and comes as a detail of type \`buf.validate.Violations\`. The rules of a field stand with it below, as
[protovalidate](https://protovalidate.com) names them.

**Versions.** Numbers of fields are never used again, and a change that breaks clients is refused by a test. Numbers from 1000 on (100 for values
of enums) are additions of this implementation to an older contract, whose clients and servers are served too.

`;

/** The texts of all pages, by their path below `referenceDir`. */
export function renderApiReference(): ReadonlyMap<string, string> {
  const packages = Map.groupBy(allFiles(), (file) => file.proto.package);
  const pages = [...packages].map(([name, files]): [string, string] => [
    `api/${pageOf(name)}`,
    renderPackage(name, files),
  ]);
  return new Map([
    ["api.md", intro + renderOverview(packages)],
    ...pages.toSorted(([one], [other]) => (one < other ? -1 : 1)),
  ]);
}

/** The files of the services and all that they are made of, except what is not Stigmer's own. */
function allFiles(): readonly DescFile[] {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    if (files.has(file.name) || !isOwn(file.proto.package)) return;
    files.set(file.name, file);
    file.dependencies.forEach(add);
  };
  API_SERVICES.forEach(({ file }) => add(file));
  return [...files.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

const isOwn = (name: string): boolean => name.startsWith("ai.stigmer.");

/** `ai.stigmer.iam.apikey.v1` → `apikey.md`. */
const pageOf = (name: string): string =>
  `${name
    .replace(/\.v\d+$/, "")
    .split(".")
    .at(-1)}.md`;

function renderOverview(packages: ReadonlyMap<string, readonly DescFile[]>): string {
  const rows = [...packages].map(([name, files]) => {
    const services = files.flatMap((file) => file.services);
    const methods = services.map(
      (service) =>
        `[${service.name}](api/${pageOf(name)}#${anchorOf(service)}): ${service.methods.map((m) => m.name).join(", ")}`,
    );
    return `| [\`${name}\`](api/${pageOf(name)}) | ${methods.join("<br>") || "messages that others are made of"} |`;
  });
  return ["## Packages", "", "| package | services |", "| --- | --- |", ...rows, ""].join("\n");
}

const comments = createProtoComments();

function renderPackage(name: string, files: readonly DescFile[]): string {
  const services = files.flatMap((file) => file.services);
  const messages = files.flatMap((file) => withNested(file.messages));
  const enums = [...files.flatMap((file) => file.enums), ...messages.flatMap((message) => message.nestedEnums)];
  const sections = [
    ...(services.length > 0 ? ["## Services", ...services.map(renderService)] : []),
    ...(messages.length > 0 ? ["## Messages", ...messages.map((message) => renderMessage(message))] : []),
    ...(enums.length > 0 ? ["## Enums", ...enums.map(renderEnum)] : []),
  ];
  const sources = files.map((file) => `[${file.name.split("/").at(-1)}.proto](../../../proto/${file.name}.proto)`);
  return (
    [written, `# ${name}`, `Package of the [API](../api.md), from ${sources.join(", ")}.`, ...sections, ""]
      .join("\n\n")
      .trimEnd() + "\n"
  );
}

function withNested(messages: readonly DescMessage[]): DescMessage[] {
  // The entries of maps are messages only to the compiler.
  return messages.flatMap((message) => [
    message,
    ...withNested(message.nestedMessages.filter((nested) => nested.proto.options?.mapEntry !== true)),
  ]);
}

function renderService(service: DescService): string {
  return [
    `### ${service.name}`,
    prose(comments.of(service)),
    ...service.methods.map((method) => renderMethod(service, method)),
  ].join("\n\n");
}

const STREAMING: Readonly<Record<DescMethod["methodKind"], string>> = {
  unary: "unary",
  server_streaming: "the server streams",
  client_streaming: "the client streams",
  bidi_streaming: "both sides stream",
};

function renderMethod(service: DescService, method: DescMethod): string {
  const takes = streamed(method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming");
  const gives = streamed(method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming");
  const page = service.file.proto.package;
  return [
    `#### ${method.name}`,
    `${takes}${linkTo(method.input, page)} → ${gives}${linkTo(method.output, page)} · ${STREAMING[method.methodKind]} · ${callers(permissionOf(service, method))}`,
    prose(comments.of(method)),
  ].join("\n\n");
}

const streamed = (yes: boolean): string => (yes ? "stream of " : "");

const RUNNERS: Readonly<Record<NonNullable<Permission["runner"]>, string>> = {
  held: "runner (holds)",
  claims: "runner (claims)",
  free: "runner",
};

function callers(permission: Permission): string {
  const roles = rolesOf({ ...permission, runner: undefined });
  return [...roles, ...(permission.runner === undefined ? [] : [RUNNERS[permission.runner]])].join(", ");
}

function renderMessage(message: DescMessage): string {
  const rules = describeMessageRules(message).map((rule) => `Refused with: *${prose(rule)}*.`);
  const table = message.fields.length === 0 ? [] : [fieldTable(message)];
  return [`### ${message.name}`, prose(comments.of(message)), ...rules, ...table].join("\n\n");
}

function fieldTable(message: DescMessage): string {
  const rows = message.fields.map((field) => {
    const rules = describeRules(field).map((rule) => `\`${cell(rule)}\``);
    const choice =
      field.oneof === undefined
        ? ""
        : ` One of *${field.oneof.name}*${isRequiredOneof(field.oneof) ? ", which is required" : ""}.`;
    return `| \`${field.name}\` | ${field.number} | ${typeOf(field, message.file.proto.package)} | ${cell(prose(comments.of(field)))}${choice} | ${rules.join(", ")} |`;
  });
  return ["| field | number | type | | rules |", "| --- | ---: | --- | --- | --- |", ...rows].join("\n");
}

function typeOf(field: DescField, page: string): string {
  switch (field.fieldKind) {
    case "map":
      return `map of ${scalarName(field.mapKey)} to ${valueType(field, page)}`;
    case "list":
      return `list of ${valueType(field, page)}`;
    default:
      return (field.proto.proto3Optional ? "optional " : "") + valueType(field, page);
  }
}

function valueType(field: DescField, page: string): string {
  if (field.message !== undefined) return linkTo(field.message, page);
  if (field.enum !== undefined) return linkTo(field.enum, page);
  return field.scalar === undefined ? "" : scalarName(field.scalar);
}

const scalarName = (type: ScalarType): string => ScalarType[type].toLowerCase();

function linkTo(type: DescMessage | DescEnum, page: string): string {
  const { package: name } = type.file.proto;
  if (!isOwn(name)) return `\`${type.typeName}\``;
  return `[${type.name}](${name === page ? "" : pageOf(name)}#${anchorOf(type)})`;
}

const anchorOf = ({ name }: { readonly name: string }): string => name.toLowerCase();

function renderEnum(type: DescEnum): string {
  const said = comments.ofValues(type);
  const rows = type.values.map(({ name, number }) => `| \`${name}\` | ${number} | ${cell(prose(said[name] ?? ""))} |`);
  return [
    `### ${type.name}`,
    prose(comments.of(type)),
    ["| value | number | |", "| --- | ---: | --- |", ...rows].join("\n"),
  ].join("\n\n");
}

/** Comments are Markdown but for what would be HTML. */
const prose = (text: string): string =>
  text
    .split("`")
    .map((part, at) => (at % 2 === 0 ? part.replaceAll("<", "&lt;") : part))
    .join("`");

const cell = (text: string): string => text.replaceAll("|", "\\|");

if (import.meta.main) {
  rmSync(join(referenceDir, "api"), { recursive: true, force: true });
  for (const [path, text] of renderApiReference()) {
    mkdirSync(dirname(join(referenceDir, path)), { recursive: true });
    writeFileSync(join(referenceDir, path), text);
  }
}
