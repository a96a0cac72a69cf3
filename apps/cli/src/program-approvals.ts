import type { Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** Declares how tool calls that wait for a person are decided. */
export function addApprovalCommands(group: Program, run: Run): void {
  for (const [decision, description] of [
    ["approve", "let a tool call run that waits for approval"],
    ["reject", "refuse a tool call that waits for approval; the agent is told why"],
    ["skip", "leave out a tool call that waits for approval; the agent goes on without its result"],
  ] as const) {
    const command = group
      .command(decision)
      .description(description)
      .argument("<id>", "the run")
      .argument("[call]", "the call; may be left out when one alone waits")
      .option("--reason <text>", decision === "reject" ? "why, for the agent" : "why, for the record");
    if (decision === "approve") command.option("--session", "and what is of its kind in the session from here on");
    command.action((id: string, call: string | undefined, options: { reason?: string; session?: boolean }) =>
      run(
        import("./commands/execution/approvals.ts").then((m) => m.resolveCommand(decision)),
        { id, call, ...options },
      ),
    );
  }
}
