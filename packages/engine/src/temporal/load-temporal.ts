import { EngineError } from "../errors.ts";

/**
 * Loads what stands on Temporal's packages, which are heavy and optional: only who uses this engine has them, and only then
 * are they read from disk. Throws `EngineError` when they are not installed.
 */
export async function loadTemporal<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!isMissingPackage(error)) throw error;
    const names = ["activity", "client", "common", "worker", "workflow"].map((name) => `@temporalio/${name}`).join(" ");
    const message = `The Temporal engine needs packages that are not installed; run: npm install ${names}`;
    throw new EngineError("refused", message, { cause: error });
  }
}

function isMissingPackage(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    (error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND") &&
    error.message.includes("@temporalio/")
  );
}
