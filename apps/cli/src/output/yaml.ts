import { clone, type DescMessage, isMessage, type Message, toJson } from "@bufbuild/protobuf";
import { stringify } from "yaml";

/** A resource as YAML: what it is made of in the contract's order, maps by their keys, no line broken that was not. */
export function toYaml(schema: DescMessage, resource: Message): string {
  const sorted = clone(schema, resource);
  sortMaps(sorted);
  return stringify(toJson(schema, sorted), { lineWidth: 0 });
}

function sortMaps(value: unknown): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if (!Array.isArray(value) && !isMessage(value)) {
    const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, inner] of entries) {
      // Taken out and put in again it comes last.
      Reflect.deleteProperty(value, key);
      Object.assign(value, { [key]: inner });
    }
  }
  for (const inner of Object.values(value)) sortMaps(inner);
}
