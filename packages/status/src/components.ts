import { displayCommand } from "./display-command.ts";

/** What a user interface draws a tool call with. An open set: an unknown value is drawn as `generic`. */
export type ComponentType = "terminal" | "file" | "search" | "web" | "code" | "agent" | "mcp" | "generic";

/** How much room a call's result wants. */
export type LayoutHint = "inline" | "block" | "diff" | "list";

/** The plain form of the wire's `ComponentMetadata`. */
export interface Component {
  readonly type: ComponentType;
  readonly group: string;
  readonly layout: LayoutHint;
  /** What the call is shown by (`kubectl get`, a path, a pattern); absent when its name says it all. */
  readonly display?: string;
}

interface Row {
  readonly names: RegExp;
  readonly type: ComponentType;
  readonly group: string;
  readonly layout: LayoutHint;
  /** Arguments that may say what the call is about, the first present one counts. */
  readonly subject?: readonly string[];
}

const path = ["file_path", "path", "filename", "file", "target_file"];

// The first row that matches decides, so exact names stand before families of names.
const table: readonly Row[] = [
  {
    names: /^(execute|bash|shell|sh|zsh|terminal|run_command|execute_command|run_shell(_command)?|run_terminal_cmd)$/,
    type: "terminal",
    group: "shell",
    layout: "block",
    subject: ["command", "cmd"],
  },
  {
    names: /^(python|python_repl|node_repl|run_(code|python|javascript)|execute_(code|python)|code_interpreter|eval)$/,
    type: "code",
    group: "code",
    layout: "block",
  },
  { names: /^task$/, type: "agent", group: "agents", layout: "block", subject: ["subagent_type"] },
  {
    names: /^notebook_(read|edit)$/,
    type: "code",
    group: "code",
    layout: "block",
    subject: ["notebook_path", ...path],
  },
  {
    names: /^(edit|edit_file|str_replace(_based_edit_tool|_editor)?|search_replace|apply_patch|multi_edit|patch_file)$/,
    type: "file",
    group: "files",
    layout: "diff",
    subject: path,
  },
  {
    names: /^(ls|list_files|list_dir|list_directory(_with_sizes)?|directory_tree|list_allowed_directories)$/,
    type: "file",
    group: "files",
    layout: "list",
    subject: path,
  },
  {
    names:
      /^(read|write|create|append|move|rename|copy|delete|remove|view|open)(_(text_|media_|multiple_)?files?(_contents)?|_directory)?$|^get_file_(info|contents)$/,
    type: "file",
    group: "files",
    layout: "block",
    subject: path,
  },
  {
    names: /^(grep|glob|find|search_files|find_files|ripgrep|codebase_search)$/,
    type: "search",
    group: "search",
    layout: "list",
    subject: ["pattern", "query"],
  },
  {
    names: /^(web_?search|internet_search|google_search|tavily\w*|brave_\w*search)$/,
    type: "web",
    group: "web",
    layout: "list",
    subject: ["query", "q"],
  },
  {
    names: /^(web_?fetch|fetch|fetch_url|http_request|browse|browser_\w+|scrape\w*|crawl\w*)$/,
    type: "web",
    group: "web",
    layout: "block",
    subject: ["url", "uri"],
  },
  { names: /(^|_)search($|_)/, type: "search", group: "search", layout: "list", subject: ["query", "q", "pattern"] },
];

/** How a tool call is drawn, from its name and arguments alone; `server__tool` is a tool of an MCP server. */
export function inferComponent(name: string, args: Readonly<Record<string, unknown>>): Component {
  const separator = name.indexOf("__");
  if (separator > 0) {
    // A server's tool takes as much room as one of that name would here.
    const tool = name.slice(separator + 2);
    const { type, layout } = inferComponent(tool, {});
    return {
      type: "mcp",
      group: name.slice(0, separator),
      layout: type === "generic" ? "block" : layout,
      display: tool,
    };
  }
  const row = table.find(({ names }) => names.test(name));
  if (row === undefined) return { type: "generic", group: "tools", layout: "inline" };
  const subject = row.subject?.map((key) => args[key]).find((value) => typeof value === "string" && value !== "");
  const { type, group, layout } = row;
  if (typeof subject !== "string") return { type, group, layout };
  return {
    type,
    group,
    layout,
    display: type === "terminal" ? displayCommand(subject) : subject.slice(0, 200).toWellFormed(),
  };
}
