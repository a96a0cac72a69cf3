import { SkillError } from "../errors.ts";

/** `problem` goes on from "The archive". */
export function refused(problem: string): SkillError {
  return archiveError("invalid-archive", problem);
}

export function tooLarge(problem: string): SkillError {
  return archiveError("archive-too-large", problem);
}

function archiveError(code: "invalid-archive" | "archive-too-large", problem: string): SkillError {
  const problems = [{ field: "archive", message: problem }];
  return new SkillError(code, `The skill's archive ${problem}.`, { problems });
}
