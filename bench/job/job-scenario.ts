import type { ScenarioFile } from "@stigmer/scripted-model";

/** Of the last turn. A token is some four characters. */
export const ANSWER: string = "Two words. ".repeat(73);

/** One turn of work: a file written, a command, an answer of some two hundred tokens. */
export const jobScenario: ScenarioFile = {
  name: "job",
  defaults: { chunkSize: 4 },
  scenarios: [
    {
      name: "one turn of work",
      turns: [
        { text: "I write it.", toolCalls: [{ name: "write_file", args: { file_path: "note", content: "content" } }] },
        { toolCalls: [{ name: "execute", args: { command: "cat note" } }] },
        { text: ANSWER },
      ],
    },
  ],
};
