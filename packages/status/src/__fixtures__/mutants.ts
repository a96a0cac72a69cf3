import type { JsonValue } from "@bufbuild/protobuf";

/** The value with one thing in it changed, once for each thing that there is, and what that was. */
export function* mutantsOf(value: JsonValue, path = ""): Generator<[string, JsonValue]> {
  if (typeof value === "string") yield [`${path} said otherwise`, `${value}!`];
  if (typeof value === "number") yield [`${path} counted otherwise`, value === 3 ? 4 : 3];
  if (typeof value === "boolean") yield [`${path} turned around`, !value];
  if (value === null || typeof value !== "object") return;
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) {
      yield [`${path}/${at} removed`, value.toSpliced(at, 1)];
      if (at > 0) yield [`${path}/${at} moved`, value.toSpliced(at, 1).toSpliced(at - 1, 0, item)];
      for (const [what, mutant] of mutantsOf(item, `${path}/${at}`)) yield [what, value.with(at, mutant)];
    }
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    const { [key]: _, ...rest } = value;
    yield [`${path}/${key} removed`, rest];
    for (const [what, mutant] of mutantsOf(item, `${path}/${key}`)) yield [what, { ...value, [key]: mutant }];
  }
}
