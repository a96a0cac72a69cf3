import { join } from "node:path";
import { expect, it } from "vitest";
import { processesOf } from "../stigmer.ts";
import { agentYaml, type Ground } from "./ground.ts";

/** Commands that need no daemon of this home, and what starts and stops one. */
export function testServerTools(ground: () => Ground): void {
  it.concurrent("server backup, restore, run, keys", async () => {
    const { cli, folder } = ground();
    const cwd = await folder();
    const env = { STIGMER_HOME: await folder() };
    await cli.works(["apply", "-f", "-"], { stdin: agentYaml("kept"), prints: "created" });
    await cli.works(["server", "backup", "all.backup"], { cwd, prints: "Backed up" });
    await cli.fails(["server", "backup", "all.backup"], { cwd, says: "all.backup" });
    await cli.works(["server", "restore", "all.backup"], {
      cwd,
      env,
      prints: `Restored ${join(env.STIGMER_HOME, "data")}`,
    });
    await cli.fails(["server", "restore", "nowhere.backup"], {
      cwd,
      env: { STIGMER_HOME: await folder() },
      says: "nowhere.backup",
    });

    const key = await cli.works(["server", "create-key", "--role", "runner"], {
      env,
      prints: /^stk_\S+\n$/,
      tells: "Made key-",
    });
    await cli.fails(["server", "create-key", "--role", "member"], { env, exitCode: 2, says: "--org" });
    const keys = await cli.works(["server", "list-keys"], { env, prints: /^runner +key-\w+/m });
    expect(keys).not.toContain(key.trim());
    await cli.fails(["server", "list-keys"], { says: "Another Stigmer server uses" });
    const [id = ""] = /key-\w+/.exec(keys) ?? [];
    await cli.works(["server", "revoke-key", id], { env, prints: `API key ${id} revoked\n` });
    await cli.fails(["server", "revoke-key", id], { env, says: id });

    await cli.works(["server", "end-runs"], { env, prints: "No run was under way.\n" });
    await cli.fails(["server", "end-runs"], { says: "Another Stigmer server uses" });
    await cli.fails(["server", "end-runs", "now"], { env, exitCode: 2, says: "argument" });

    await cli.fails(["server", "run", "--port", "http"], { env, exitCode: 2, says: "a number from 0 to 65535" });
    await cli.lasts(["server", "run", "--port", "0"], (server) => server.printed(/127\.0\.0\.1:\d+/), { env });
    await cli.works(["local", "reset", "--yes"], { env, prints: `Deleted what Stigmer kept in ${env.STIGMER_HOME}` });
    await cli.fails(["local", "reset", "--yes"], { says: "--stop" });
  });
}

/** What is done with the daemon itself: one test after the other, when nobody else needs it any more. */
export function testDaemonCommands(ground: () => Ground & { readonly home: string }): void {
  const LOGGED = /^stigmer-server +\| .+/m;

  for (const group of ["local", "server"]) {
    it(`${group} status, logs, restart, stop, start`, async () => {
      const { cli, modelEnv: env, home } = ground();
      const ready = { env, prints: "Agent-runner started successfully" };
      await cli.works([group, "status"], { prints: /^stigmer-server +\d+ +running/m });
      await cli.fails([group, "status", "-o", "json"], { exitCode: 2, says: "'-o'" });
      await cli.works([group, "logs"], { prints: LOGGED });
      await cli.fails([group, "logs", "proxy"], { exitCode: 2, says: '"proxy"' });
      await cli.works([group, "restart"], ready);
      await cli.fails([group, "restart", "--port", "http"], { exitCode: 2, says: "a number from 0 to 65535" });
      await cli.works([group, "stop"], { prints: /^Stopped \(PID \d+\)\.\n$/ });
      await cli.fails([group, "stop", "--now"], { exitCode: 2, says: "'--now'" });
      expect(await processesOf(home)).toEqual([]);
      await cli.fails([group, "start", "--port", "http"], { exitCode: 2, says: "a number from 0 to 65535" });
      await cli.works([group, "start", "--port", "0"], ready);
      await cli.works(["get", "agent", "kept", "-o", "name"], { prints: "kept" });
    });
  }
}
