import { z } from "zod";
import { failureReasons, type ScenarioFile } from "./scenario.ts";

const expectedText = "expected a string, { contains: … } or { regex: … }";
const textMatch = z
  .union([z.string().min(1), z.strictObject({ contains: z.string().min(1) }), z.strictObject({ regex: z.string() })], {
    error: expectedText,
  })
  .meta({ id: "TextMatch", description: "A string that is contained, { contains } or { regex }." });

const count = z.int().min(1);
const milliseconds = z.int().min(0).max(600_000);
const template = (description: string) => z.string().meta({ description: `${description} A template.` });

const pace = {
  chunkSize: count.optional().meta({ description: "Characters a streamed piece holds. Default 12." }),
  chunkDelayMs: milliseconds.optional().meta({ description: "Wait before each streamed piece. Default 0." }),
  startDelayMs: milliseconds.optional().meta({ description: "Wait before the answer starts. Default 0." }),
};

const match = z
  .strictObject({
    system: textMatch.optional(),
    human: textMatch.optional().meta({ description: "The last thing a human said." }),
    firstHuman: textMatch.optional().meta({ description: "The first thing a human said in this conversation." }),
    model: textMatch.optional(),
    tools: z.array(textMatch).optional().meta({ description: "Tools offered; a plain string is the exact name." }),
  })
  .meta({ description: "All rules that are given must hold. Without any, every request matches." });

const capture = z.strictObject({
  from: z.enum(["system", "human", "firstHuman"]),
  pattern: z.string().min(1).meta({ description: "Regular expression; its first group, or all of it, is the value." }),
});

const toolCall = z.strictObject({
  name: z.string().min(1),
  args: z.record(z.string(), z.unknown()).optional().meta({ description: "Strings in it are templates." }),
  id: z.string().min(1).optional().meta({ description: "Default: derived from the conversation." }),
});

const failure = z.strictObject({
  status: z
    .int()
    .min(200)
    .max(599)
    .optional()
    .meta({ description: "HTTP status: 400 to 599, or 200 with contentType." }),
  reason: z
    .enum(failureReasons)
    .optional()
    .meta({ description: "What went wrong, said as the provider says it: status, error type and code." }),
  type: z.string().optional().meta({ description: "Default: what the protocol says for the status." }),
  message: z.string().optional(),
  retryAfter: z.number().min(0).optional().meta({ description: "How long to wait before the next try, in seconds." }),
  retryAfterAs: z
    .enum(["seconds", "date", "milliseconds"])
    .optional()
    .meta({ description: "Told by retry-after in seconds (the default) or as a date, or by retry-after-ms." }),
  contentType: z
    .string()
    .regex(/^[\w.+-]+\/[\w.+-]+$/, "a media type, such as text/html")
    .optional()
    .meta({ description: "Answer with a page of this type instead of the protocol's JSON." }),
  afterChunks: z.int().min(0).optional().meta({ description: "Fail inside the stream, after this many pieces." }),
  times: count.optional().meta({ description: "Requests that fail before the turn is answered. Default: all." }),
});

const cut = z.strictObject({
  afterChunks: z.int().min(0).meta({ description: "Pieces sent before." }),
  how: z
    .enum(["reset", "end", "malformed", "silence"])
    .optional()
    .meta({ description: "The socket closes (default), the stream ends too early, a line is no JSON, nothing comes." }),
  times: count.optional().meta({ description: "Requests that are cut before the turn is answered. Default: all." }),
});

const turn = z.strictObject({
  thinking: template("Sent as the model's reasoning.").optional(),
  text: template("Sent as the answer's text.").optional(),
  toolCalls: z.array(toolCall).min(1).optional(),
  refusal: template("The model declines to go on, in these words.").optional(),
  error: failure.optional().meta({ description: "Fails instead of answering." }),
  cut: cut.optional().meta({ description: "Breaks off in mid-answer." }),
  ...pace,
});

const scenario = z.strictObject({
  name: z.string().min(1).meta({ description: "Unique in the file." }),
  match: match.optional(),
  capture: z
    .record(z.string().regex(/^[A-Za-z_][\w-]*$/, "a name starts with a letter"), capture)
    .optional()
    .meta({ description: "Values taken from the request, for {{ name }} in templates." }),
  repeatCallsWhen: textMatch
    .optional()
    .meta({ description: "A tool call whose result matches is made once more; that answer is no turn." }),
  turns: z.array(turn).min(1).meta({
    description: "Turn n answers a request with n assistant messages after the last human message.",
  }),
});

export const scenarioSchema: z.ZodType<ScenarioFile> = z
  .strictObject({
    name: z.string().min(1),
    models: z.array(z.string().min(1)).min(1).optional().meta({ description: "Model ids that the server lists." }),
    defaults: z.strictObject(pace).optional(),
    scenarios: z.array(scenario).min(1).meta({ description: "The first that matches a request answers it." }),
  })
  .meta({ title: "Scenario of @stigmer/scripted-model" });
