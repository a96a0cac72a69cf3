import { clone, create } from "@bufbuild/protobuf";
import { ClientError, type ResourceClients } from "@stigmer/client";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { expect, it } from "vitest";
import { rememberSandbox, type SandboxMemory } from "./remember-sandbox.ts";

const sessionOf = (sandboxId = "", version = "v1"): Session =>
  create(SessionSchema, { metadata: { id: "ses-1", version: { id: version } }, spec: { subject: "s", sandboxId } });

/** What a server stores, which refuses a session that is not the version that it has. */
function serverOf(sandboxId = "", version = "v1") {
  const asked: string[] = [];
  let stored = sessionOf(sandboxId, version);
  const sessions = {
    get: async (id: string) => (asked.push(`get ${id}`), clone(SessionSchema, stored)),
    update: async (given: Session) => {
      asked.push(`update to ${given.spec?.sandboxId}`);
      const { id: seen } = given.metadata?.version ?? {};
      if (seen !== stored.metadata?.version?.id) throw new ClientError("failed-precondition", "read it again");
      stored = clone(SessionSchema, given);
      stored.metadata = create(SessionSchema, { metadata: { id: "ses-1", version: { id: `${seen}+` } } }).metadata;
      return clone(SessionSchema, stored);
    },
  } as unknown as ResourceClients["sessions"];
  const answering =
    (answer: string | undefined): SandboxMemory["tellSandbox"] =>
    async ({ sandboxId, previousSandboxId, foundWithout = false }) => {
      asked.push(`tell ${sandboxId} for ${previousSandboxId || "none"}${foundWithout ? ", found without" : ""}`);
      return answer;
    };
  return { asked, sessions, answering, stored: () => stored.spec };
}

it("is told as a word of the run, and nothing else is asked", async () => {
  const { asked, sessions, answering } = serverOf();
  const session = sessionOf();
  expect(await rememberSandbox({ sessions, tellSandbox: answering("new") }, session, "new")).toBe("new");
  expect(asked).toEqual(["tell new for none"]);
  expect(session.spec).toMatchObject({ subject: "s", sandboxId: "new" });
  // One that was replaced in the same run: what is given up is what the session has since.
  expect(await rememberSandbox({ sessions, tellSandbox: answering("newer") }, session, "newer")).toBe("newer");
  expect(asked.at(-1)).toBe("tell newer for new");
});

it("is theirs where somebody else was quicker", async () => {
  const { asked, sessions, answering } = serverOf();
  const session = sessionOf("old");
  expect(await rememberSandbox({ sessions, tellSandbox: answering("theirs") }, session, "new")).toBe("theirs");
  expect([asked, session.spec?.sandboxId]).toEqual([["tell new for old"], "theirs"]);
});

it("is told to be found without", async () => {
  const { asked, sessions, answering } = serverOf();
  const memory = { sessions, tellSandbox: answering("new"), foundWithout: true };
  expect(await rememberSandbox(memory, sessionOf(), "new")).toBe("new");
  expect(asked).toEqual(["tell new for none, found without"]);
});

it("is not told when the session has it", async () => {
  const { asked, sessions, answering } = serverOf();
  expect(await rememberSandbox({ sessions, tellSandbox: answering("?") }, sessionOf("new"), "new")).toBe("new");
  expect(asked).toEqual([]);
});

it.each([
  ["that knows no such word", (server: ReturnType<typeof serverOf>) => server.answering(undefined)],
  ["that gives no fence", () => undefined],
])("is stored with the session on a server %s", async (_what, tellBy) => {
  const server = serverOf("old");
  const session = sessionOf("old");
  const memory = { sessions: server.sessions, tellSandbox: tellBy(server) };
  expect(await rememberSandbox(memory, session, "new")).toBe("new");
  expect(server.asked.at(-1)).toBe("update to new");
  expect(server.stored()).toMatchObject({ subject: "s", sandboxId: "new" });
  expect(session.metadata?.version?.id).toBe("v1+");
});

it.each([
  ["stored already, and not answered", "new", "new"],
  ["stored by somebody else", "theirs", "theirs"],
  ["beside another change", "old", "new"],
  ["with what was there gone", "", "new"],
])("is looked at again in a session that has changed: %s", async (_what, found, then) => {
  const server = serverOf(found, "v2");
  const memory = { sessions: server.sessions, tellSandbox: server.answering(undefined) };
  expect(await rememberSandbox(memory, sessionOf("old"), "new")).toBe(then);
  expect(server.stored()?.sandboxId).toBe(then);
  expect(server.asked.slice(0, 3)).toEqual(["tell new for old", "update to new", "get ses-1"]);
});

it("fails with what it was refused for", async () => {
  const { asked, sessions } = serverOf();
  const tellSandbox = async (): Promise<never> => {
    throw new ClientError("failed-precondition", "another runner has taken over");
  };
  await expect(rememberSandbox({ sessions, tellSandbox }, sessionOf(), "new")).rejects.toThrow("taken over");
  expect(asked).toEqual([]);
});
