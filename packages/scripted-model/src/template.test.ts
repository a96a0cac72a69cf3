import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTemplate, renderTemplate, type Scope } from "./template.ts";

const scope: Scope = {
  results: [
    { tool: "execute", text: "# tests 7\n# fail 1\nmean=4.25 }} end" },
    { tool: "read_file", text: "export {}" },
    { tool: "execute", text: "# tests 7\n# fail 0" },
  ],
  capture: (name) => ({ workdir: "/w" })[name],
};
const render = (text: string): string => renderTemplate(parseTemplate(text), scope);

describe("templates", () => {
  it.each([
    ["plain", "plain"],
    ["{{ workdir }}/a {{workdir}}", "/w/a /w"],
    ['{{ result("read_file") }}', "export {}"],
    ['fail: {{ result("execute", "# fail (\\d+)") }}', "fail: 0"],
    ['{{ result(1, "# fail (\\d+)") }} then {{ result(3, "^# fail .*$") }}', "1 then # fail 0"],
    ['{{ result(1, "mean=[0-9.]+ }}") }}', "mean=4.25 }}"],
    ['a {{ "{{" }} b }}', "a {{ b }}"],
    ['{{ "say \\"hi\\"" }}', 'say "hi"'],
  ])("renders %s", (text, expected) => {
    expect(render(text)).toBe(expected);
  });

  it.each([
    ["{{", "expected a name"],
    ["{{ workdir", "expected }} after the name"],
    ["{{ upper(1) }}", "the only function is result"],
    ["{{ result() }}", "a tool's name or a number from 1"],
    ["{{ result(0) }}", "a tool's name or a number from 1"],
    ['{{ result("execute" }}', "expected ) or ,"],
    ['{{ result("execute", 3) }}', "a regular expression in double quotes"],
    ['{{ result("execute", "(") }}', "Invalid regular expression"],
  ])("refuses %s", (text, message) => {
    expect(() => parseTemplate(text)).toThrow(message);
    expect(() => parseTemplate(text)).toThrow(SyntaxError);
  });

  it.each([
    [
      '{{ result("grep") }}',
      "there is no last result of grep (results since the human message: execute, read_file, execute)",
    ],
    ["{{ result(4) }}", "there is no result 4"],
    ['{{ result("execute", "# skip (\\d+)") }}', 'found nothing in last result of execute "# tests 7\\n# fail 0"'],
    ["{{ nobody }}", "{{ nobody }} found nothing: its capture rule did not match"],
  ])("says what %s did not find", (text, message) => {
    expect(() => render(text)).toThrow(message);
  });

  it("leaves any text without braces as it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        fc.pre(!text.includes("{{"));
        expect(render(text)).toBe(text);
      }),
    );
  });
});
