import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { createPostgresCheckpointer } from "./create-postgres-checkpointer.ts";
import { troubleAt, withPatience } from "./postgres-trouble.ts";

describe("a URL that can't be used", () => {
  it.each([
    ["no URL", "sekret-pw@localhost"],
    ["another protocol", "mysql://user:sekret-pw@localhost/db"],
    ["a password with a slash as it is", "postgres://user:sekret-pw/x@localhost:5432/db"],
  ])("is refused without showing it: %s", async (_what, url) => {
    const error = await createPostgresCheckpointer({ url }).catch((error: unknown) => error as Error);
    expect(error).toMatchObject({ code: "checkpoint", message: expect.stringMatching(/URL can't be read/) as string });
    expect(String((error as Error).stack)).not.toContain("sekret-pw");
  });

  it("is refused with a schema that is no name", async () => {
    const url = "postgres://localhost/db";
    await expect(createPostgresCheckpointer({ url, schema: 'x"; DROP TABLE y' })).rejects.toMatchObject({
      code: "checkpoint",
    });
  });
});

it("names the packages that it needs when they are not there", async () => {
  const probe = `
    import { registerHooks } from "node:module";
    registerHooks({
      resolve(name, context, next) {
        if (name !== "pg") return next(name, context);
        throw Object.assign(new Error("Cannot find package 'pg'"), { code: "ERR_MODULE_NOT_FOUND" });
      },
    });
    const { createPostgresCheckpointer } = await import(${JSON.stringify(fileURLToPath(new URL("../index.ts", import.meta.url)))});
    await createPostgresCheckpointer({ url: "postgres://localhost" }).catch((error) => console.log(error.code, error.message));
  `;
  const args = ["--conditions=@stigmer/source", "--input-type=module", "--eval", probe];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toMatch(/^checkpoint .*npm install @langchain\/langgraph-checkpoint-postgres pg`\.\n$/);
});

const place = { name: "db:5432/agents", password: "p@ss word" };

it("says what went wrong where, in one line without the password", () => {
  const cause = Object.assign(new AggregateError([new Error("connect ECONNREFUSED\n ::1 with p@ss word")], ""), {
    code: "ECONNREFUSED",
  });
  const error = troubleAt(place, cause);
  expect(error.message).toBe(
    "Cannot use the checkpoint database db:5432/agents: connect ECONNREFUSED ::1 with ********. Check the address, and that the server is running.",
  );
  expect(error.cause).toBeUndefined();
});

describe("patience", () => {
  const away = (): Error => Object.assign(new Error("terminating connection"), { code: "57P01" });

  it("does it again until the database is back", async () => {
    const failures = [away(), new Error("Connection terminated unexpectedly")];
    let calls = 0;
    const work = async (): Promise<string> => {
      calls += 1;
      const failure = failures.pop();
      if (failure !== undefined) throw failure;
      return "done";
    };
    expect(await withPatience(work, { patienceMs: 10_000 })).toBe("done");
    expect(calls).toBe(3);
  });

  it("has an end, and none for what the database itself refuses", async () => {
    const error = away();
    await expect(withPatience(() => Promise.reject(error), { patienceMs: 200 })).rejects.toBe(error);
    const refusal = Object.assign(new Error("permission denied"), { code: "42501" });
    let calls = 0;
    const work = (): Promise<void> => {
      calls += 1;
      return Promise.reject(refusal);
    };
    await expect(withPatience(work, { patienceMs: 10_000 })).rejects.toBe(refusal);
    expect(calls).toBe(1);
  });
});
