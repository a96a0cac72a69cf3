import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningServer, startServer } from "@stigmer/server";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createAuthority } from "../../__fixtures__/certificates.ts";
import { startCli } from "../../__fixtures__/local-server.ts";

// The command line as a client of a cloud server with a certificate of a private authority.

const authority = await createAuthority();

let home: string;
let env: Record<string, string>;
let server: RunningServer | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-keys-"));
  env = { STIGMER_HOME: home, STIGMER_TLS_CA_FILE: join(home, "ca.pem") };
  await writeFile(join(home, "ca.pem"), authority.ca);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(home, { recursive: true });
});

const run = (args: string[], more: Record<string, string> = {}) => startCli(args, { env: { ...env, ...more } }).done;

async function makeFirst(role: string): Promise<string> {
  const made = await run(["server", "create-key", "--role", role, "--org", "acme", "--name", `first ${role}`]);
  expect(made.err).toMatch(
    new RegExp(`^Made \\S+ \\(${role} of acme, good until 20\\S+Z\\)\\. Keep the key now: it is not shown again\\.`),
  );
  expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^stk_[\w-]{43}\n$/)]);
  return made.out.trim();
}

async function serve(): Promise<void> {
  server = await startServer({ mode: "cloud", home, port: 0, tls: await authority.write(home) });
  env = { ...env, STIGMER_BACKEND_ENDPOINT: server.endpoint };
}

it("lets the first caller in by a key made in the database, who makes, sees and revokes others", async () => {
  env = { ...env, STIGMER_API_KEY: await makeFirst("owner") };
  await serve();
  expect(await run(["list", "agents"])).toMatchObject({ code: 0 });
  const made = await run(["key", "create", "laptop", "--role", "viewer", "--expires", "12h"]);
  expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^stk_[\w-]{43}\n$/)]);
  expect(made.err).toMatch(/^Made \S+ \(viewer, good until 20\S+Z\)\. Keep the key now/);
  const key = made.out.trim();
  const listed = await run(["key", "list"]);
  expect(listed.out).toMatch(/^NAME +ID +ROLE +KEY +EXPIRES +LAST USED\n/);
  expect(listed.out).toMatch(new RegExp(`^laptop +\\S+ +viewer +…${key.slice(-6)} +20\\S+Z +never$`, "m"));
  expect(listed.out).not.toContain(key);
  const asJson = await run(["key", "create", "ci", "--expires", "never", "-o", "json"]);
  expect(JSON.parse(asJson.out)).toMatchObject({
    key: expect.stringMatching(/^stk_/) as string,
    apiKey: { spec: { neverExpires: true } },
  });
  expect(await run(["list", "agents"], { STIGMER_API_KEY: key })).toMatchObject({ code: 0 });
  expect(await run(["key", "revoke", "laptop"])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^API key \S+ revoked\n$/) as string,
  });
  const refused = await run(["list", "agents"], { STIGMER_API_KEY: key });
  expect(refused).toEqual({
    code: 1,
    out: "",
    err: `stigmer-server at ${server?.endpoint} refuses the key that was shown (the API key is not known here: it was deleted, or is another server's): set STIGMER_API_KEY to a key of that server\n`,
  });
  const none = await run(["key", "revoke", "laptop"]);
  expect([none.code, none.err]).toEqual([1, 'No API key of yours is called "laptop": see `stigmer key list`.\n']);
});

it("makes a runner's key without an organization", async () => {
  const made = await run(["server", "create-key", "--role", "runner", "--expires", "never"]);
  expect([made.code, made.err]).toEqual([
    0,
    expect.stringMatching(/^Made \S+ \(runners, good until it is revoked\)\./) as string,
  ]);
  expect(await run(["server", "create-key", "--role", "runner", "--org", "acme"])).toMatchObject({ code: 1, out: "" });
});

it("shows every key of the installation, and takes a runner's back, which no organization could", async () => {
  await makeFirst("owner");
  await run(["server", "create-key", "--role", "runner", "--name", "rack 1"]);
  const listed = await run(["server", "list-keys"]);
  expect(listed.out).toMatch(/^NAME +ID +ORG +ROLE +KEY +EXPIRES +LAST USED\n/);
  expect(listed.out).toMatch(/^first owner +\S+ +acme +owner /m);
  const id = /^rack 1 +(\S+) +- +runner /m.exec(listed.out)?.[1] ?? "";
  expect(await run(["server", "revoke-key", id])).toMatchObject({ code: 0, out: `API key ${id} revoked\n` });
  const left = JSON.parse((await run(["server", "list-keys", "-o", "json"])).out) as { metadata: { name: string } }[];
  expect(left.map(({ metadata }) => metadata.name)).toEqual(["first owner"]);
  const gone = await run(["server", "revoke-key", id]);
  expect([gone.code, gone.err]).toEqual([1, `There is no API key ${id}.\n`]);
});

it.each([
  [["--role", "owner"], 2, "--org"],
  [["--role", "king", "--org", "acme"], 2, "owner, member, viewer, runner"],
  [["--role", "owner", "--org", "Acme Inc"], 1, '"Acme Inc" is none'],
  [["--role", "owner", "--org", "acme", "--expires", "soon"], 2, "30d, 12h or 90m"],
])("makes no key of %j, and says why in one line", async (args, code, says) => {
  const refused = await run(["server", "create-key", ...args]);
  expect([refused.code, refused.out, refused.err.trimEnd().split("\n").length]).toEqual([code, "", 1]);
  expect(refused.err).toContain(says);
});

it("says in one line that the server's certificate is not believed, and that it speaks TLS alone", async () => {
  env = { ...env, STIGMER_API_KEY: await makeFirst("member") };
  await serve();
  const stranger = await run(["list", "agents"], { STIGMER_TLS_CA_FILE: "" });
  expect([stranger.code, stranger.err.trimEnd().split("\n").length]).toEqual([1, 1]);
  expect(stranger.err).toMatch(/^Cannot speak to stigmer-server at https:\/\/\S+: .*certificate.*STIGMER_TLS_CA_FILE/);
  const plain = await run(["list", "agents"], { STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${server?.port}` });
  expect([plain.code, plain.err.trimEnd().split("\n").length]).toEqual([1, 1]);
});
