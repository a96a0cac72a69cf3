import { expect, test } from "vitest";
import { inferComponent } from "./components.ts";

const calls: readonly (readonly [
  name: string,
  args: Record<string, unknown>,
  type: string,
  group: string,
  display?: string,
])[] = [
  ["execute", { command: "cd x && kubectl get pods" }, "terminal", "shell", "kubectl get"],
  ["read_file", { file_path: "/a/b.ts" }, "file", "files", "/a/b.ts"],
  ["write_file", { file_path: "a", content: "x" }, "file", "files", "a"],
  ["edit_file", { file_path: "a" }, "file", "files", "a"],
  ["delete", { file_path: "a" }, "file", "files", "a"],
  ["ls", {}, "file", "files", undefined],
  ["grep", { pattern: "x" }, "search", "search", "x"],
  ["glob", { pattern: "*.ts" }, "search", "search", "*.ts"],
  ["web_search", { query: "x" }, "web", "web", "x"],
  ["fetch", { url: "http://x" }, "web", "web", "http://x"],
  ["python_repl", { code: "1" }, "code", "code", undefined],
  ["task", { subagent_type: "researcher", description: "…" }, "agent", "agents", "researcher"],
  ["search_issues", { query: "bug" }, "search", "search", "bug"],
  ["github__create_issue", { title: "x" }, "mcp", "github", "create_issue"],
  ["files__edit_file", { path: "a" }, "mcp", "files", "edit_file"],
  ["run_shell_command", { command: "git -C x status" }, "terminal", "shell", "git status"],
  ["str_replace_based_edit_tool", { path: "a" }, "file", "files", "a"],
  ["directory_tree", { path: "/a" }, "file", "files", "/a"],
  ["get_file_info", { path: "/a" }, "file", "files", "/a"],
  ["notebook_edit", { notebook_path: "a.ipynb" }, "code", "code", "a.ipynb"],
  ["get", { key: "x" }, "generic", "tools", undefined],
  ["get_weather", { city: "Bern" }, "generic", "tools", undefined],
  ["execute", { command: 7 }, "terminal", "shell", undefined],
];

test.each(calls.map((call) => ({ call })))("$call.0 is drawn as $call.2", ({ call }) => {
  const [name, args, type, group, display] = call;
  expect(inferComponent(name, args)).toMatchObject({ type, group });
  expect(inferComponent(name, args).display).toBe(display);
});

test("a tool of an MCP server is laid out as one of that name would be", () => {
  expect(inferComponent("files__edit_file", {}).layout).toBe("diff");
  expect(inferComponent("files__list_directory", {}).layout).toBe("list");
  expect(inferComponent("files__sum", {}).layout).toBe("block");
});
