import type { StructuredTool } from "@langchain/core/tools";
import { Validator } from "@langchain/core/utils/json_schema";
import { interopSafeParseAsync, isInteropZodSchema } from "@langchain/core/utils/types";

/**
 * Whether LangChain will hand these arguments to the tool. It refuses others by itself, before anything happens; when that
 * can't be told here, they count as fitting.
 */
export async function fitsSchema({ schema }: Pick<StructuredTool, "schema">, args: unknown): Promise<boolean> {
  try {
    if (isInteropZodSchema(schema)) return (await interopSafeParseAsync(schema, args)).success;
    return new Validator(schema as ConstructorParameters<typeof Validator>[0]).validate(args).valid;
  } catch {
    return true;
  }
}
