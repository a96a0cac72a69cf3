import { it } from "vitest";
import { agentYaml, type Ground } from "./ground.ts";

/** Commands on what the server keeps. */
export function testResources(ground: () => Ground): void {
  it.concurrent("apply, diff, get, list, describe, edit, delete", async () => {
    const { cli, folder } = ground();
    const cwd = await folder({
      "agent.yaml": agentYaml("painter"),
      "other.yaml": agentYaml("painter", "  description: Paints.\n"),
    });
    await cli.works(["apply", "-f", "agent.yaml"], { cwd, prints: /^Agent painter created \(agt-\w+\)\n$/ });
    await cli.fails(["apply", "-f", "nowhere.yaml"], { cwd, says: "nowhere.yaml: there is no such file" });
    await cli.works(["diff", "-f", "agent.yaml"], { cwd, prints: /^$/ });
    await cli.works(["diff", "-f", "other.yaml"], { cwd, exitCode: 1, prints: /^\+.*Paints\./m });
    await cli.fails(["diff", "-f", "nowhere.yaml"], { cwd, exitCode: 2, says: "nowhere.yaml: there is no such file" });
    await cli.works(["get", "agent", "painter", "-o", "yaml"], { prints: "instructions: You do what you are told." });
    await cli.fails(["get", "agent", "nobody"], { says: 'There is no agent "nobody"' });
    await cli.works(["list", "agents"], { prints: /^NAME .*\n(.*\n)*painter +agt-/ });
    await cli.fails(["list", "pods"], { exitCode: 2, says: "the kinds are agent, instance" });
    await cli.works(["describe", "agent", "painter"], { prints: /^Name: +painter$/m });
    await cli.fails(["describe", "agent", "nobody"], { says: 'There is no agent "nobody"' });
    const env = { EDITOR: "sed -i s/told/asked/" };
    await cli.works(["edit", "agent", "painter"], { env, prints: "painter" });
    await cli.works(["get", "agent", "painter", "-o", "json"], { prints: "You do what you are asked." });
    await cli.fails(["edit", "agent", "nobody"], { env, says: 'There is no agent "nobody"' });
    await cli.works(["delete", "agent", "painter"], { prints: "agent painter deleted\n" });
    await cli.fails(["delete", "agent", "painter"], { says: 'There is no agent "painter"' });
  });

  it.concurrent("skill", async () => {
    const { cli, folder } = ground();
    const cwd = await folder({
      "haiku/SKILL.md":
        "---\nname: haiku\ndescription: Writes haiku. Use it when a poem is wanted.\n---\nFive, seven, five.\n",
      "agent.yaml": agentYaml("poet", "  skillRefs: [{ kind: skill, slug: haiku }]\n"),
      "lost.yaml": agentYaml("lost", "  skillRefs: [{ kind: skill, slug: not-there }]\n"),
    });
    await cli.works(["skill", "push", "haiku", "--tag", "stable"], { cwd, prints: /^Skill haiku pushed \(skl-/ });
    await cli.fails(["skill", "push", "nowhere"], { cwd, says: "nowhere" });
    await cli.works(["skill", "list"], { prints: /^haiku +skl-\w+ +stable/m });
    await cli.fails(["skill", "list", "-o", "xml"], { exitCode: 2, says: "'xml'" });
    await cli.works(["skill", "show", "haiku@stable"], { prints: /^SKILL\.md +\d+ B/m });
    await cli.fails(["skill", "show", "sonnet"], { says: "sonnet" });
    await cli.works(["skill", "pull", "haiku", "copy"], { cwd, prints: "Skill haiku pulled to copy (1 file" });
    await cli.fails(["skill", "pull", "sonnet"], { cwd, says: "sonnet" });
    await cli.works(["skill", "lock", "-f", "agent.yaml"], { cwd, prints: "stigmer.lock written (1 skill)" });
    await cli.fails(["skill", "lock", "-f", "lost.yaml"], { cwd, says: "not-there" });
  });

  it.concurrent("key, audit", async () => {
    const { cli } = ground();
    const key = await cli.works(["key", "create", "script"], { prints: /^stk_\S+\n$/, tells: "Made key-" });
    await cli.fails(["key", "create", "script", "--expires", "soon"], { exitCode: 2, says: "'soon'" });
    await cli.works(["list", "agents"], { env: { STIGMER_API_KEY: key.trim() }, prints: "" });
    await cli.works(["key", "list"], { prints: /^script +key-\w+ +member/m });
    await cli.fails(["key", "list", "-o", "xml"], { exitCode: 2, says: "'xml'" });
    await cli.works(["key", "revoke", "script"], { prints: /^API key key-\w+ revoked\n$/ });
    await cli.fails(["key", "revoke", "script"], { says: '"script"' });
    await cli.fails(["list", "agents"], { env: { STIGMER_API_KEY: key.trim() }, says: "refuses the key" });
    await cli.works(["audit", "list", "--kind", "ApiKey"], { prints: /ApiKeyCommandController\/delete/ });
    await cli.fails(["audit", "list", "--since", "soon"], { exitCode: 2, says: "'soon'" });
  });

  it.concurrent("model", async () => {
    const { cli } = ground();
    await cli.works(["model", "list"], {
      prints: /^Default: anthropic:\S+, decided by ANTHROPIC_API_KEY\.$/m,
      env: ground().modelEnv,
    });
    await cli.fails(["model", "list", "--all"], { exitCode: 2, says: "'--all'" });
    await cli.works(["model", "test"], { prints: /^anthropic:\S+ answered in /, env: ground().modelEnv });
    await cli.fails(["model", "test", "openai:gpt-5"], { says: "OPENAI_API_KEY" });
  });
}
