import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it("loads no framework before an agent is made", () => {
  const probe = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve(name, context, next) { loaded.push(name); return next(name, context); } });
    await import(${JSON.stringify(fileURLToPath(new URL("index.ts", import.meta.url)))});
    console.log(JSON.stringify(loaded));
  `;
  const args = ["--conditions=@stigmer/source", "--input-type=module", "--eval", probe];
  const loaded = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as string[];
  expect(loaded.length).toBeGreaterThan(3);
  expect(loaded.filter((name) => /langchain|deepagents|langgraph|zod|^@stigmer/.test(name))).toEqual([]);
});
