import { expect, test } from "vitest";
import { commandEnvironment, type EnvironmentOptions } from "./environment.ts";

const host = {
  PATH: "/bin",
  HOME: "/home/me",
  LC_ALL: "C",
  EDITOR: "vi",
  GITHUB_TOKEN: "the user's own",
  UNSET: undefined,
  PWD: "/elsewhere",
  MINE: "declared elsewhere",
  STIGMER_ENCRYPTION_KEY: "s",
  stigmer_lower: "s",
  ANTHROPIC_API_KEY: "s",
  ANTHROPIC_AUTH_TOKEN: "s",
  OPENAI_API_KEY: "s",
  AZURE_OPENAI_API_KEY: "s",
  GEMINI_API_KEY: "s",
  HF_TOKEN: "s",
  DAYTONA_API_KEY: "s",
  TEMPORAL_API_KEY: "s",
  REDIS_PASSWORD: "s",
  LANGSMITH_API_KEY: "s",
};

const environment = (options: Partial<EnvironmentOptions>): Record<string, string> =>
  commandEnvironment(host, { inheritEnv: "all", withheld: [], env: {}, ...options });

test("inherits all but the secrets of Stigmer, of providers, and those withheld", () => {
  expect(environment({ withheld: ["MINE"] })).toEqual({
    PATH: "/bin",
    HOME: "/home/me",
    LC_ALL: "C",
    EDITOR: "vi",
    GITHUB_TOKEN: "the user's own",
    PYTHONUNBUFFERED: "1",
  });
});

test("inherits little, or nothing", () => {
  expect(environment({ inheritEnv: "minimal" })).toEqual({
    PATH: "/bin",
    HOME: "/home/me",
    LC_ALL: "C",
    PYTHONUNBUFFERED: "1",
  });
  expect(environment({ inheritEnv: "none" })).toEqual({ PYTHONUNBUFFERED: "1" });
});

test("what is declared wins, also over what is withheld", () => {
  const env = { PATH: "/opt", OPENAI_API_KEY: "the agent's", PYTHONUNBUFFERED: "0", MINE: "given" };
  expect(environment({ inheritEnv: "none", env, withheld: ["MINE"] })).toEqual(env);
});
