// What agents of the tests do, and the words of their model. A run's message ends in its own name, and every effect has that name.
import type { StigmerClient } from "@stigmer/client";
import type { ScenarioFile } from "@stigmer/scripted-model";

/** How long the model takes for a piece of what it says, in milliseconds. */
const CHUNK_DELAY_MS = 15;
const SAYS = "I go through what was asked for, one after the other, and say what I find on the way. ".repeat(2);
const name = { from: "human" as const, pattern: "#(\\S+)" };

const book = (step: string): { name: string; args: { entry: string } } => ({
  name: "effects__book",
  args: { entry: `{{ name }}/${step}` },
});

export const scenario: ScenarioFile = {
  name: "cloud",
  defaults: { chunkSize: 8, chunkDelayMs: CHUNK_DELAY_MS },
  scenarios: [
    {
      name: "books three entries",
      match: { human: "Book three entries" },
      capture: { name },
      turns: [
        { text: SAYS, toolCalls: [book("one")] },
        { text: SAYS, toolCalls: [book("two"), book("beside")] },
        { text: SAYS, toolCalls: [book("three")] },
        { text: "The entries of {{ name }} are booked." },
      ],
    },
    {
      name: "works in its sandbox",
      match: { human: "Keep a file" },
      capture: { name },
      turns: [
        { toolCalls: [{ name: "execute", args: { command: "echo {{ name }} >> kept; wc -l < kept" } }] },
        { text: 'Kept, as line {{ result("execute", "(\\d+)") }}.' },
      ],
    },
    {
      name: "asks a person first",
      match: { human: "Book with approval" },
      capture: { name },
      turns: [{ text: SAYS, toolCalls: [book("approved")] }, { text: "What was approved of {{ name }} is booked." }],
    },
    {
      name: "hands a task over",
      match: { human: "Have it booked" },
      capture: { name },
      turns: [
        {
          text: SAYS,
          toolCalls: [{ name: "task", args: { subagent_type: "clerk", description: "Book the task #{{ name }}" } }],
        },
        { text: "The clerk of {{ name }} is done." },
      ],
    },
    {
      name: "books the task",
      match: { human: "Book the task" },
      capture: { name },
      turns: [{ text: SAYS, toolCalls: [book("task")] }, { text: "Booked for {{ name }}." }],
    },
    {
      name: "goes on for long",
      match: { human: "Go on for long" },
      capture: { name },
      turns: [
        ...Array.from({ length: 12 }, (_, step) => ({ text: SAYS, toolCalls: [book(`long-${step}`)] })),
        { text: "The end of {{ name }}." },
      ],
    },
  ],
};

/** Makes the two agents of an organisation: one that acts by itself, one that asks. */
export async function applyAgents(client: StigmerClient, effectsUrl: string): Promise<void> {
  const mcpServers = [{ name: "effects", http: { url: effectsUrl } }];
  const spec = {
    instructions: "You keep the books, and each entry is made once.",
    mcpServers: mcpServers.map(({ name: server, http }) => ({
      name: server,
      serverType: { case: "http" as const, value: http },
    })),
    subAgents: [
      {
        name: "clerk",
        description: "Books a task.",
        instructions: "You book the task that you are given.",
        mcpServers: ["effects"],
      },
    ],
  };
  const rules = [{ tools: ["effects__book"], action: 2, reason: "it can't be undone" }];
  await client.agents.apply({ metadata: { name: "bookkeeper" }, spec });
  await client.agents.apply({ metadata: { name: "careful" }, spec: { ...spec, approvalPolicy: { rules } } });
}
