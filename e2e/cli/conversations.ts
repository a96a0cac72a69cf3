import { writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { until } from "../stigmer.ts";
import { agentYaml, type Ground, nobody } from "./ground.ts";

const ASKS = `  approvalPolicy:
    rules:
      - { commands: ["echo *"], action: APPROVAL_ACTION_ASK, reason: it goes live }
`;

/** Commands on agents at work. */
export function testConversations(ground: () => Ground): void {
  const applied = async (name: string, more = ""): Promise<void> => {
    await ground().cli.works(["apply", "-f", "-"], { stdin: agentYaml(name, more), prints: "created" });
  };

  it.concurrent("run, agent execute, chat, session", async () => {
    const { cli } = ground();
    await applied("talker");
    const said = { prints: /^Good day\.\n$/, tells: /^completed in / };
    await cli.works(["run", "talker", "Hello"], said);
    await cli.fails(["run", "nobody", "Hello"], { says: 'There is no agent "nobody"' });
    await cli.works(["agent", "execute", "talker", "Hello"], said);
    await cli.fails(["agent", "execute", "nobody", "Hello"], { says: 'There is no agent "nobody"' });
    await cli.works(["chat", "talker"], {
      stdin: "Hello\nAnd again\n",
      prints: /^Good day\.\nGood day\.\n$/,
      tells: "stigmer chat --session ses-",
    });
    await cli.fails(["chat", "nobody"], { says: 'There is no agent "nobody"' });

    const json = await cli.works(["run", "talker", "Hello", "--json"], { prints: "ses-" });
    const [session = ""] = /ses-\w+/.exec(json) ?? [];
    await cli.works(["session", "list"], { prints: session });
    await cli.fails(["session", "list", "-o", "xml"], { exitCode: 2, says: "'xml'" });
    await cli.works(["session", "continue", session, "And again"], said);
    await cli.fails(["session", "continue", nobody.session, "Hello"], { says: nobody.session });
    await cli.works(["session", "show", session], { prints: /## You\n\nAnd again\n\n## talker\n\nGood day\./ });
    await cli.fails(["session", "show", nobody.session], { says: nobody.session });
    await cli.fails(["session", "delete", session], { exitCode: 2, says: "--yes" });
    await cli.works(["session", "delete", session, "--yes"], { prints: `session ${session} deleted\n` });
    await cli.fails(["session", "show", session], { says: session });
  });

  it.concurrent("execution approve, reject, skip", async () => {
    const { cli } = ground();
    await applied("shipper", ASKS);
    for (const [decision, outcome] of [
      ["approve", "shipped"],
      ["reject", "refused"],
      ["skip", "skipped"],
    ] as const) {
      const json = await cli.works(["run", "shipper", "Ship it", "--json"], { exitCode: 4, prints: "aex-" });
      const [id = ""] = /aex-\w+/.exec(json) ?? [];
      await cli.works(["execution", decision, id, "--reason", "so I say"], { prints: id });
      await cli.works(["execution", "watch", id], { prints: `I was told: ${outcome}.` });
      await cli.fails(["execution", decision, id], { says: "waits for approval" });
    }
  });

  it.concurrent("execution get, list, logs, trace, watch, message, pause, resume, cancel", async () => {
    const { cli, folder } = ground();
    await applied("waiter");
    const begin = async (): Promise<{ id: string; workspace: string }> => {
      const workspace = await folder();
      const id = (
        await cli.works(["run", "waiter", "Wait", "--workspace", workspace, "--detach"], { prints: /^aex-\w+\n$/ })
      ).trim();
      await until(async () => existsSync(join(workspace, "waiting")), 60);
      return { id, workspace };
    };
    const [one, other] = await Promise.all([begin(), begin()]);
    const finished = async (command: string, args: string[] = []): Promise<void> =>
      await cli.fails(["execution", command, one.id, ...args], { says: `${one.id} has ended (completed)` });

    await cli.works(["execution", "message", one.id, "And hurry"], { prints: one.id });
    await cli.works(["execution", "pause", one.id], { prints: one.id });
    await writeFile(join(one.workspace, "go"), "");
    await until(async () => (await cli.works(["execution", "get", one.id], { prints: one.id })).includes("paused"), 60);
    await cli.works(["execution", "resume", one.id], { prints: one.id });
    await cli.works(["execution", "watch", one.id], { prints: "I hurried.", tells: "completed in" });
    await finished("message", ["Too late"]);
    await finished("pause");
    await finished("resume");

    await cli.works(["execution", "cancel", other.id, "--reason", "enough"], { prints: other.id });
    await cli.works(["execution", "watch", other.id], { exitCode: 3, prints: "" });
    await cli.works(["execution", "list"], { prints: new RegExp(`^${other.id} +cancelled`, "m") });
    await cli.works(["execution", "logs", one.id], { prints: /agent: execute .*waiting/ });
    await cli.works(["execution", "trace", one.id], { prints: /^\S+ {2}completed · .*\n.*\n.*execute/ });
    for (const command of ["get", "watch", "cancel", "logs", "trace"])
      await cli.fails(["execution", command, nobody.execution], { says: nobody.execution });
    await cli.fails(["execution", "list", "-o", "xml"], { exitCode: 2, says: "'xml'" });
    expect(existsSync(join(other.workspace, "go"))).toBe(false);
  });
}
