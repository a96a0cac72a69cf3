import { Code, ConnectError } from "@connectrpc/connect";
import { PushSkillRequestSchema } from "@stigmer/protos/skill/v1";
import { openSkillArchive, type SkillArchive, SkillError } from "@stigmer/skills";
import { invalidField } from "./field-errors.ts";

/**
 * Reads and checks a pushed archive, every file of it, so that what is stored can be unpacked without surprises: by the
 * rules that a runner unpacks by, what it would refuse at every run is refused here once.
 * Throws INVALID_ARGUMENT or, for what is too large, RESOURCE_EXHAUSTED.
 */
export async function readSkillArchive(
  artifact: Uint8Array,
): Promise<Pick<SkillArchive, "hash" | "skillMd" | "frontmatter">> {
  try {
    const archive = await openSkillArchive(artifact);
    await archive.verify();
    return archive;
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    const problem = error.problems.map(({ message }) => message).join("; ");
    if (error.code === "archive-too-large") throw new ConnectError(`artifact: ${problem}`, Code.ResourceExhausted);
    throw invalidField({ schema: PushSkillRequestSchema, field: "artifact", message: problem });
  }
}
