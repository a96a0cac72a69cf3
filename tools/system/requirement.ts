/** Something that system suites need and that `pnpm test:system` brings up: a program, or a service on loopback. */
export interface Requirement {
  /** The variable that suites read, and that a person may set to bring their own. */
  readonly variable: string;
  /** Brings it up. Throws a `GateError` that says why it can't be had, and what to do about it. */
  provide(signal: AbortSignal): Promise<Provided>;
}

export interface Provided {
  readonly value: string;
  /** Takes it down again; leaves nothing running and no file. */
  release(): Promise<void>;
}

export interface Environment extends AsyncDisposable {
  /** What suites get, by variable. */
  readonly env: Record<string, string>;
}

/** Brings up what is not in the environment already, all at once. When one can't be had, the others are taken down. */
export async function provideAll(requirements: readonly Requirement[], signal: AbortSignal): Promise<Environment> {
  const missing = requirements.filter(({ variable }) => !process.env[variable]);
  const results = await Promise.allSettled(missing.map((requirement) => requirement.provide(signal)));
  const release = async (): Promise<void> => {
    await Promise.all(results.map((result) => (result.status === "fulfilled" ? result.value.release() : undefined)));
  };
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await release();
    throw failed.reason;
  }
  const env: Record<string, string> = {};
  for (const [index, { variable }] of missing.entries()) {
    const result = results[index];
    if (result?.status === "fulfilled") env[variable] = result.value.value;
  }
  return { env, [Symbol.asyncDispose]: release };
}
