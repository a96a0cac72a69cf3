import { expect, it } from "vitest";
import { makeHome } from "./stigmer.ts";

// What a person sets for a web page of their own, and what its browser is answered.

const page = "https://app.example.com";

it("a web page may call a server that was told of it", { timeout: 120_000 }, async () => {
  await using home = await makeHome({ env: { STIGMER_ALLOWED_ORIGINS: `http://localhost:5173, ${page}` } });
  const server = home.start(["server", "run", "--port", "0"]);
  try {
    await server.printed(/ready on \S+\n/);
    const endpoint = /ready on (\S+)\n/.exec(server.output())?.[1];
    const ask = (origin: string): Promise<Response> =>
      fetch(`http://${endpoint}/ai.stigmer.agentic.agent.v1.AgentQueryController/list`, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST" },
      });
    const allowed = await ask(page);
    expect([allowed.status, allowed.headers.get("access-control-allow-origin")]).toEqual([204, page]);
    expect((await ask("https://other.example.com")).status).toBe(403);
  } finally {
    server.process.kill("SIGTERM");
    await server.result;
  }
});

it("what is no origin is said before anything starts", { timeout: 120_000 }, async () => {
  await using home = await makeHome({ env: { STIGMER_ALLOWED_ORIGINS: "*" } });
  const { exitCode, stderr } = await home.stigmer(["server", "run", "--port", "0"]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('STIGMER_ALLOWED_ORIGINS is "*": expected origins separated by commas');
});
