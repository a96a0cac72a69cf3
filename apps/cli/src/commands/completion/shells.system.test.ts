// Real shells on a terminal: what they make of Tab is told by what the line does then.
import { spawn } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";

const main = join(import.meta.dirname, "../../main.ts");

let server: LocalServer;
let bin: string;
beforeAll(async () => {
  server = await startLocalServer();
  const spec = { description: "Reads changes.", instructions: "Answer in few words." };
  await server.client.agents.apply({ metadata: { name: "reviewer" }, spec });
  bin = join(server.home, "bin");
  await mkdir(bin);
  await mkdir(join(server.home, "some folder"));
  await writeFile(join(server.home, "some folder/SKILL.md"), "---\nname: x\n---\n");
  const program = join(bin, "stigmer");
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" --conditions=@stigmer/source "${main}" "$@"\n`);
  await chmod(program, 0o755);
});
afterAll(() => server[Symbol.asyncDispose]());

const READY = "what-now>";
const shells = {
  bash: {
    command: "bash --norc --noprofile -i",
    setup: `PS1='${READY} '; source <(stigmer completion bash)`,
  },
  zsh: {
    command: "zsh -f -i",
    setup: `PROMPT='${READY} '; autoload -U compinit && compinit -u -D && source <(stigmer completion zsh)`,
  },
  fish: {
    command: "fish --no-config -i",
    setup: `function fish_prompt; printf '${READY} '; end; stigmer completion fish | source`,
  },
} as const;

/** Types into a shell, with a Tab where there is one, and answers what came to the screen until it asks for more. */
async function type(shell: keyof typeof shells, line: string): Promise<string> {
  const { command, setup } = shells[shell];
  // `script` is what gives the shell a terminal.
  const child = spawn("script", ["-qfec", command, "/dev/null"], {
    cwd: server.home,
    env: {
      PATH: `${bin}:${process.env["PATH"]}`,
      HOME: server.home,
      TERM: "xterm",
      STIGMER_HOME: server.home,
      STIGMER_BACKEND_ENDPOINT: server.endpoint,
    },
  });
  let screen = "";
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const asks = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (!screen.includes(text)) return;
        child.stdout.off("data", check);
        resolve();
      };
      child.stdout.on("data", check);
      void ended.then(() => reject(new Error(`${shell} ended:\n${screen}`)));
      check();
    });
  child.stdout.on("data", (chunk) => (screen += String(chunk)));
  // The words are put together, so that the echo of the line is not taken for its result.
  child.stdin.write(`${setup}; echo set"-"up\n`);
  await asks("set-up");
  await asks(READY);
  screen = "";
  child.stdin.write(`${line}\n`);
  child.stdin.write(`echo do"-"ne\n`);
  await asks("do-ne");
  child.stdin.end("exit\n");
  await ended;
  return screen;
}

test.each(Object.keys(shells) as (keyof typeof shells)[])(
  "%s completes commands, flags, values and names",
  { timeout: 400_000 },
  async (shell) => {
    expect(await type(shell, "stigmer completi\tfis\t")).toContain("# fish completion for stigmer");
    expect(await type(shell, "stigmer get agents --outp\tjso\t")).toContain('"slug": "reviewer"');
    expect(await type(shell, "stigmer get agents --output=jso\t")).toContain('"slug": "reviewer"');
    expect(await type(shell, "stigmer skill lint some\t")).toContain("some folder/SKILL.md:");
    // Names wait for the server half a second and no longer, which on a busy machine may be too short.
    let shown = "";
    for (let tries = 0; tries < 5 && !shown.includes('"slug"'); tries += 1)
      shown = await type(shell, "stigmer get agent -o json revi\t");
    expect(shown).toContain('"slug": "reviewer"');
  },
);
