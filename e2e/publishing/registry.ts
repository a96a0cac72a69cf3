import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { run } from "./run.ts";

export interface Registry extends AsyncDisposable {
  readonly url: string;
  /** What npm needs in its environment to use it: npm publishes nowhere without a token, be it any. */
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a registry that keeps its packages in `folder`. It ends with this process at the latest. */
export async function startRegistry(folder: string): Promise<Registry> {
  await mkdir(folder);
  const upstream = await run("npm", ["config", "get", "registry"]);
  const program = join(import.meta.dirname, "registry-process.ts");
  const child = spawn(process.execPath, [program, folder, upstream.trim()], { stdio: ["pipe", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let said = "";
  child.stderr.on("data", (text) => (said += String(text)));
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^listening on (?<url>http:.*)$/.exec(line)?.groups?.["url"];
    said += `${line}\n`;
    if (url === undefined) continue;
    const userconfig = join(folder, "npmrc");
    await writeFile(userconfig, `${url.replace("http:", "")}:_authToken=any\n`);
    return {
      url,
      env: { npm_config_registry: url, npm_config_userconfig: userconfig, npm_config_update_notifier: "false" },
      async [Symbol.asyncDispose]() {
        child.stdin.end();
        await exited;
      },
    };
  }
  throw new Error(`the registry did not start:\n${said}`);
}
