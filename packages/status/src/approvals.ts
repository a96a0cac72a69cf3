import type { MessageInitShape } from "@bufbuild/protobuf";
import { ApprovalAction, type ApprovalRuleSchema } from "@stigmer/protos/agent/v1";
import type { ToolCall } from "@stigmer/protos/agentexecution/v1";
import { commandNames } from "./display-command.ts";

/**
 * The rule that an approval for the whole session stands for: the same tool, and of `execute` the same programs, with their
 * subcommands. Undefined when none can be told, as of a command whose program a variable names.
 */
export function sessionRuleOf({
  name,
  args,
}: Pick<ToolCall, "name" | "args">): MessageInitShape<typeof ApprovalRuleSchema> | undefined {
  const action = ApprovalAction.ALLOW;
  const reason = "Approved for the session.";
  if (name.includes("*")) return undefined;
  if (name !== "execute") return { tools: [name], action, reason };
  const command = args?.["command"];
  const names = commandNames(typeof command === "string" ? command : "");
  // A rule without commands would be for all of them.
  if (names.length === 0 || names.some((each) => /[*?$`]/.test(each))) return undefined;
  return { tools: [name], commands: names.flatMap((each) => [each, `${each} *`]), action, reason };
}
