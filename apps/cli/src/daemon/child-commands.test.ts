import { resolve } from "node:path";
import { resolveHome } from "@stigmer/config";
import { expect, test } from "vitest";
import { childCommands, secretsOf, withoutSecrets } from "./child-commands.ts";

const homes = resolveHome({ STIGMER_HOME: "/home/me/.stigmer" });
const env = {
  PATH: "/bin",
  MODE: "cloud",
  STIGMER_PORT: "7",
  STIGMER_BACKEND_ENDPOINT: "example.com:443",
  STIGMER_API_KEY: "stk_hush",
  ANTHROPIC_API_KEY: "hush-a",
  OPENAI_API_KEY: "",
  STIGMER_ENCRYPTION_KEY: "hush-e",
  STIGMER_CHECKPOINT_URL: "checkpoints.db",
  SANDBOX_ROOT_DIR: "work",
  NODE_CHANNEL_FD: "3",
  UNSET: undefined,
};

test("each child gets the secrets it needs by its pipe, and none in its environment or arguments", () => {
  const children = childCommands({ homes, env, secrets: { OPENAI_API_KEY: "hush-o" } });
  const [server, runner] = [children.server(0), children.runner(4711)];
  expect(server.secrets).toEqual({ STIGMER_ENCRYPTION_KEY: "hush-e" });
  expect(runner.secrets).toEqual({
    ANTHROPIC_API_KEY: "hush-a",
    OPENAI_API_KEY: "hush-o",
    STIGMER_CHECKPOINT_URL: resolve("checkpoints.db"),
  });
  expect(JSON.stringify([server.env, server.args, runner.env, runner.args])).not.toContain("hush");
});

test("a child is of this home and this machine, whatever the environment says of another server", () => {
  const children = childCommands({ homes, env, secrets: {} });
  const shared = {
    PATH: "/bin",
    MODE: "local",
    STIGMER_HOME: "/home/me/.stigmer",
    STIGMER_DATA_DIR: "/home/me/.stigmer/data",
    SANDBOX_ROOT_DIR: resolve("work"),
  };
  expect(children.server(0).env).toEqual(shared);
  expect(children.runner(4711).env).toEqual({ ...shared, STIGMER_BACKEND_ENDPOINT: "127.0.0.1:4711" });
  expect(children.server(4711).args.slice(-4)).toEqual(["server", "run", "--port", "4711"]);
  expect(children.server(4711).args).toContain("--max-semi-space-size=8");
  expect(children.runner(4711).args).toContain("--max-semi-space-size=16");
  expect(children.runner(4711).args.at(-1)).toMatch(/agent-runner\/(src\/main\.ts|dist\/main\.js)$/);
});

test("an environment falls apart into secrets and the rest; the key of another server is neither's", () => {
  expect(Object.keys(secretsOf(env)).toSorted()).toEqual([
    "ANTHROPIC_API_KEY",
    "STIGMER_CHECKPOINT_URL",
    "STIGMER_ENCRYPTION_KEY",
  ]);
  expect(JSON.stringify(withoutSecrets(env))).not.toContain("hush");
  expect(withoutSecrets({ PATH: "/bin" })).toEqual({ PATH: "/bin" });
});
