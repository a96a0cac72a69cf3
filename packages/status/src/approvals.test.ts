import { expect, it } from "vitest";
import { ApprovalAction } from "@stigmer/protos/agent/v1";
import { sessionRuleOf } from "./approvals.ts";

const allow = { action: ApprovalAction.ALLOW, reason: "Approved for the session." };

it("stands for the tool", () => {
  expect(sessionRuleOf({ name: "github__merge", args: { pr: 7 } })).toEqual({ tools: ["github__merge"], ...allow });
});

it.each([
  ["git push --force", ["git push"]],
  ["cd app && npm run build | tee log", ["npm run build", "tee"]],
  ["sudo -u web systemctl restart app", ["sudo systemctl restart"]],
  ["./deploy one", ["./deploy"]],
  ["FOO=1 make; make test", ["make", "make test"]],
  ["bash -c 'terraform apply -auto-approve'", ["terraform apply"]],
])("stands for the programs of %s", (command, names) => {
  const commands = names.flatMap((name) => [name, `${name} *`]);
  expect(sessionRuleOf({ name: "execute", args: { command } })).toEqual({ tools: ["execute"], commands, ...allow });
});

it.each([
  { command: "$TOOL --all" },
  { command: "`which rm` x" },
  { command: "./*.sh" },
  { command: "cd /" },
  { command: 1 },
])("stands for nothing where it would for everything: %j", (args) =>
  expect(sessionRuleOf({ name: "execute", args })).toBeUndefined(),
);
