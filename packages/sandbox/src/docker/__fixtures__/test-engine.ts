/** The engine that system suites are given, and the image that it has: `unix:///… image`. */
export function testEngine(): { readonly host: string; readonly image: string } {
  const value = process.env["STIGMER_TEST_DOCKER"];
  const [host, image] = value?.split(" ") ?? [];
  if (host === undefined || image === undefined) {
    throw new Error("STIGMER_TEST_DOCKER is not set. Run these suites with: pnpm test:system");
  }
  return { host, image };
}
