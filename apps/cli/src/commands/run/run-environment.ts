import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { promptStreams } from "../../output/prompts.ts";

/** A variable for one run. */
export interface RunVariable {
  readonly value: string;
  readonly isSecret: boolean;
}

export interface RunEnvironmentOptions {
  /** `K=V` each. */
  readonly env: readonly string[];
  /** Names of variables of this process whose values are secret: a value on the command line is everybody's to read. */
  readonly secret: readonly string[];
}

/** Reads `--env` and `--secret`. Asks for a secret that is not set when there is a terminal to ask on. */
export async function readRunEnvironment(
  { env, secret }: RunEnvironmentOptions,
  io: CommandIo,
): Promise<Record<string, RunVariable>> {
  const variables: Record<string, RunVariable> = {};
  for (const text of env) {
    const end = text.indexOf("=");
    const name = checkName("--env", end < 0 ? text : text.slice(0, end));
    if (end < 0) throw new CliError("usage", `--env ${text} has no value: write --env ${name}=VALUE`);
    const value = text.slice(end + 1);
    if (value === "") throw new CliError("usage", `--env ${name}= is empty: give it a value, or leave it out`);
    variables[name] = { value, isSecret: false };
  }
  for (const text of secret) {
    if (text.includes("=")) {
      const [name = ""] = text.split("=");
      const message = `--secret takes a name alone, since others can read a command line: set ${name} in the environment and write --secret ${name}`;
      throw new CliError("usage", message);
    }
    const name = checkName("--secret", text);
    variables[name] = { value: io.env[name] || (await ask(name, io)), isSecret: true };
  }
  return variables;
}

function checkName(option: string, name: string): string {
  if (/^[A-Za-z_]\w*$/.test(name)) return name;
  throw new CliError(
    "usage",
    `${option} ${JSON.stringify(name)} is not the name of a variable: letters, digits and _ only, no digit first`,
  );
}

async function ask(name: string, io: CommandIo): Promise<string> {
  if (io.stdin.isTTY !== true) throw new CliError("usage", `--secret ${name}: set ${name} in the environment first`);
  const { isCancel, password } = await import("@clack/prompts");
  const value = await password({ ...promptStreams(io), message: `Value of ${name}` });
  if (isCancel(value)) throw new CliError("interrupted", "Nothing was started.");
  if (!value) throw new CliError("usage", `--secret ${name} is empty: give it a value, or leave it out`);
  return value;
}
