import { join, resolve } from "node:path";
import { type Environment, given } from "./environment.ts";
import { expandHome } from "./formats.ts";
import { variables } from "./variables.ts";

/** Where Stigmer keeps its files. All paths are absolute. Nothing is created by asking. */
export interface Homes {
  readonly home: string;
  readonly configFile: string;
  /** The key that processes of the same user show to the local server. */
  readonly localKeyFile: string;
  readonly dataDir: string;
  readonly logsDir: string;
  /** Programs that Stigmer has downloaded. */
  readonly binDir: string;
  /** One folder per session that brought no workspace of its own. */
  readonly workspacesDir: string;
  /** Process ids and sockets of what runs now. */
  readonly runDir: string;
}

/** From `STIGMER_HOME` and `STIGMER_DATA_DIR`. `home` is what `~` stands for, the user's home folder by default. */
export function resolveHome(env: Environment = process.env, options: { readonly home?: string } = {}): Homes {
  const path = (text: string): string => resolve(expandHome(text.trim(), options.home));
  const home = path(given(env, "STIGMER_HOME") ?? variables.STIGMER_HOME.local.value);
  return {
    home,
    configFile: join(home, "config.yaml"),
    localKeyFile: join(home, "local.key"),
    dataDir: path(given(env, "STIGMER_DATA_DIR") ?? join(home, "data")),
    logsDir: join(home, "logs"),
    binDir: join(home, "bin"),
    workspacesDir: join(home, "workspaces"),
    runDir: join(home, "run"),
  };
}
