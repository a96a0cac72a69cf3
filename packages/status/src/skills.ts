import { create, equals } from "@bufbuild/protobuf";
import { SkillsReplacedSchema } from "@stigmer/protos/agentexecution/v1";
import type { RunState } from "./run-state.ts";

/** A skill that was put into a run's workspace. */
export interface SkillInUse {
  readonly name: string;
  /** Which of its versions: the SHA-256 of its archive. */
  readonly versionHash: string;
  /** Where its `SKILL.md` or Markdown file is in the workspace. */
  readonly path: string;
  /** The sub-agent that has it. Default `""`: the agent itself. */
  readonly subAgent?: string;
}

/** Tells the skills of the run, in the order given. */
export function useSkills(state: RunState, skills: readonly SkillInUse[]): void {
  const value = create(SkillsReplacedSchema, { skills: [...skills] });
  const before = create(SkillsReplacedSchema, { skills: state.fold.status.skills });
  if (!equals(SkillsReplacedSchema, value, before)) state.emit({ case: "skills", value });
}
