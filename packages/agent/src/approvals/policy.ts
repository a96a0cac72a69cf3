// Which tool calls run, wait for a person, or are refused: pure functions over rules and calls.
import { commandsOf, type CommandLine, type RunCommand } from "./command-forms.ts";
import { matches, mayMatch } from "./match-pattern.ts";
import type { ToolRisk } from "./tool-risks.ts";

export type ApprovalAction = "allow" | "ask" | "deny";

/** Matches calls that fit every list that is not empty; at least one is not. */
export interface ApprovalRule {
  /** Names of tools; `*` stands for any characters. */
  readonly tools?: readonly string[];
  readonly risks?: readonly ToolRisk[];
  /** Commands of `execute`; `*` stands for any characters. */
  readonly commands?: readonly string[];
  readonly action: ApprovalAction;
  /** Why, for whoever is asked, or for the model that is refused. */
  readonly reason?: string;
}

export interface ApprovalPolicy {
  /** Tried in this order; the first rule that matches decides. */
  readonly execution?: readonly ApprovalRule[];
  readonly session?: readonly ApprovalRule[];
  readonly agent?: readonly ApprovalRule[];
  /** For calls that no rule matches. Default `allow`. */
  readonly otherwise?: ApprovalAction;
}

export interface PolicyCall {
  readonly name: string;
  readonly args: unknown;
  readonly risks: readonly ToolRisk[];
}

export interface Verdict {
  readonly action: ApprovalAction;
  /** The rule's own words, or what matched; empty when nobody said anything. */
  readonly reason: string;
}

/** Whether a rule is for a call. `maybe`: only who runs it could tell; then a person is asked, unless the rule allows. */
type Match = "yes" | "no" | "maybe";

/** `more` are rules of the session that came while the run was under way. */
export function evaluate(policy: ApprovalPolicy, call: PolicyCall, more: readonly ApprovalRule[] = []): Verdict {
  const { execution = [], session = [], agent = [], otherwise = "allow" } = policy;
  const line = call.name === "execute" ? lineOf(call.args) : undefined;
  for (const rule of [...execution, ...session, ...more, ...agent]) {
    const match = matchOf(rule, call, line);
    if (match === "yes") return { action: rule.action, reason: rule.reason || describe(rule) };
    if (match === "maybe" && rule.action !== "allow") {
      const doubt = "it can't be told whether the command is one that a rule is for";
      return { action: "ask", reason: `${rule.reason || describe(rule)} (${doubt})` };
    }
  }
  return { action: otherwise, reason: otherwise === "allow" ? "" : "no rule allows it" };
}

function matchOf(
  { tools = [], risks = [], commands = [], action }: ApprovalRule,
  call: PolicyCall,
  line?: CommandLine,
): Match {
  if (tools.length === 0 && risks.length === 0 && commands.length === 0) return "no";
  if (tools.length > 0 && !tools.some((pattern) => matches(pattern, call.name))) return "no";
  if (risks.length > 0) {
    const listed = (risk: ToolRisk): boolean => risks.includes(risk);
    if (action === "allow" ? !call.risks.every(listed) : !call.risks.some(listed)) return "no";
  }
  if (commands.length === 0) return "yes";
  if (line === undefined) return "no";
  return action === "allow" ? allowsLine(commands, line) : meansLine(commands, line);
}

function allowsLine(patterns: readonly string[], line: CommandLine): Match {
  if (line.kind === "unclear") return "no";
  // `cd` prepares the ground for others.
  const counted = line.commands.filter(({ whole, writes, transparent }) => {
    return !transparent && (writes || !/^cd(?: |$)/.test(whole));
  });
  const allows = (command: RunCommand): boolean =>
    patterns.some((pattern) => isFor(pattern, command, [command.whole], matches));
  const all = counted.length > 0 ? counted : line.commands;
  return all.length > 0 && all.every(allows) ? "yes" : "no";
}

function meansLine(patterns: readonly string[], line: CommandLine): Match {
  if (line.kind === "unclear") return "maybe";
  const some = (test: typeof matches): boolean =>
    line.commands.some((command) => {
      const forms = [command.whole, ...command.forms];
      return patterns.some((pattern) => isFor(pattern, { ...command, writes: false }, forms, test));
    });
  if (some(matches)) return "yes";
  return line.commands.some(({ opaque }) => opaque) || some(mayMatch) ? "maybe" : "no";
}

/** In a pattern, what stands behind `>` says that the command may write a file; the words before it are for the command. */
function isFor(
  pattern: string,
  { writes }: Pick<RunCommand, "writes">,
  forms: readonly string[],
  test: typeof matches,
): boolean {
  const sign = pattern.indexOf(">");
  if (writes && sign < 0) return false;
  const words = sign < 0 ? pattern : pattern.slice(0, sign).trimEnd();
  return forms.some((form) => test(words, form));
}

function lineOf(args: unknown): CommandLine {
  const command = (args as { readonly command?: unknown } | null | undefined)?.command;
  return typeof command === "string" ? commandsOf(command) : { kind: "unclear" };
}

function describe({ tools = [], risks = [], commands = [], action }: ApprovalRule): string {
  const verb = action === "allow" ? "allows" : action === "ask" ? "asks about" : "refuses";
  const what = [tools.join(", "), risks.length > 0 ? `what is ${risks.join(" or ")}` : "", commands.join(", ")];
  return `a rule ${verb} ${what.filter((part) => part !== "").join(": ")}`;
}
