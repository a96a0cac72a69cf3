// The rules of agentskills.io for what a skill says about itself.
import { z } from "zod";

/** Lower-case letters, digits and single hyphens, none at either end: a name is also a directory and a file name. */
export const skillName: z.ZodType<string> = z
  .string("must be a text")
  .min(1, "must not be empty")
  .max(64, "must have at most 64 characters")
  .regex(
    /^[a-z0-9]+(-[a-z0-9]+)*$/,
    "may hold only lower-case letters, digits and single hyphens, and must neither begin nor end with a hyphen",
  );

/** Counted in characters as a reader counts them, not in UTF-16 units. */
const upTo = (characters: number): z.ZodType<string> =>
  z
    .string("must be a text")
    .refine((text) => [...text].length <= characters, `must have at most ${characters} characters`);

export const skillDescription: z.ZodType<string> = upTo(1024).refine(
  (text) => text.trim() !== "",
  "must not be empty: say what the skill does and when to use it",
);

/** YAML reads `version: 1.0` as a number, while the specification means a text. */
const metadataValue = z.union([z.string(), z.number(), z.boolean()], "must be a text").transform(String);

const toolList = z
  .union([z.string(), z.array(z.string())], "must be a list of tool names, separated by spaces")
  .transform((tools) => (typeof tools === "string" ? tools.split(/\s+/).filter((tool) => tool !== "") : tools));

interface WrittenFrontmatter {
  readonly name: string;
  readonly description: string;
  readonly license?: string;
  readonly compatibility?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly "allowed-tools"?: readonly string[];
}

/** A frontmatter as it is written. Fields that the specification doesn't know are let through and left out. */
export const frontmatterSchema: z.ZodType<WrittenFrontmatter> = z.object({
  name: skillName,
  description: skillDescription,
  license: z.string("must be a text").optional(),
  compatibility: upTo(500)
    .refine((text) => text !== "", "must not be empty")
    .optional(),
  metadata: z.record(z.string(), metadataValue, "must be a map of texts").optional(),
  "allowed-tools": toolList.optional(),
});
