const OLDEST = [22, 18] as const;

/** What to do about a Node that is too old; undefined when it is not. */
export function whyNodeIsUnfit(version: string): { readonly problem: string; readonly fix: string } | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor, oldestMinor] = OLDEST;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return undefined;
  return {
    problem: `${version} is too old`,
    fix: `install Node.js ${OLDEST.join(".")} or newer (https://nodejs.org)`,
  };
}
