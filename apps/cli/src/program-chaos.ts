import { type Command as Program, InvalidArgumentError, Option } from "commander";
import type { Run } from "./program-options.ts";

/** Declares how an agent's durability is proven. */
export function addChaosCommands(program: Program, run: Run): void {
  program
    .command("chaos")
    .description("prove that an agent's runs survive")
    .command("run")
    .description(
      "run an agent, then again for each of its durable points, with a process killed there; tell every difference",
    )
    .argument("<agent>", "manifests, or the name or id of an agent on the running server")
    .argument("<message>", "what it is to do")
    .addOption(
      new Option("--victims <list>", "what to kill: runner, server, engine")
        .default(["runner", "server"], "runner,server")
        .argParser(parseVictims),
    )
    .addOption(
      new Option("--engine <engine>", "the engine of the platforms")
        .choices(["embedded", "temporal"])
        .default("embedded"),
    )
    .option("--scenario <file>", "let a scripted model speak, which says the same each time")
    .addOption(
      new Option("--points <n>", "so many repetitions at most, spread evenly (default: all)").argParser(parseCount),
    )
    .option("--workspace <dir>", "a directory of which each run gets a copy to work in")
    .option("--temporal <path>", "Temporal's command line (default: temporal on PATH)")
    .addOption(new Option("--jobs <n>", "so many platforms at a time").default(2).argParser(parseCount))
    .option("--json", "print what happens as JSON, one object a line")
    .addHelpText("after", "\nExit code: 0 nothing differed, 1 something did. Needs no running server.")
    .action((agent, message, options) =>
      run(
        import("./commands/chaos/chaos.ts").then((m) => m.chaos),
        { ...options, agent, message },
      ),
    );
}

function parseVictims(text: string): ("runner" | "server" | "engine")[] {
  return text.split(",").map((name) => {
    const victim = name.trim();
    if (victim === "runner" || victim === "server" || victim === "engine") return victim;
    throw new InvalidArgumentError("Victims are runner, server and engine, with commas between them.");
  });
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}
