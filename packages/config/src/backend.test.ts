import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isLoopback, readBackend } from "./backend.ts";
import { readConfig } from "./read-config.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "stigmer-config-"));
});
afterEach(() => rmSync(home, { recursive: true }));

function keyOf(env: Record<string, string>): string | undefined {
  const result = readConfig({ MODE: "local", STIGMER_HOME: home, ...env });
  return result.ok ? result.config.backend.apiKey : result.problems[0]?.message;
}

test("without a key, local.key is read, and without that the dummy is used", () => {
  expect(keyOf({})).toBe("dummy-local-key");
  writeFileSync(join(home, "local.key"), "from-file\n");
  expect(keyOf({})).toBe("from-file");
  expect(keyOf({ STIGMER_API_KEY: "" })).toBe("from-file");
  expect(keyOf({ STIGMER_API_KEY: "mine" })).toBe("mine");
});

test("local.key is in STIGMER_HOME, wherever the data is", () => {
  writeFileSync(join(home, "local.key"), "from-file");
  expect(keyOf({ STIGMER_DATA_DIR: join(home, "elsewhere") })).toBe("from-file");
});

test("the dummy means unset toward loopback alone", () => {
  writeFileSync(join(home, "local.key"), "from-file");
  expect(keyOf({ STIGMER_API_KEY: "dummy-local-key" })).toBe("from-file");
  expect(keyOf({ STIGMER_API_KEY: "dummy-local-key", STIGMER_BACKEND_ENDPOINT: "[::1]:50051" })).toBe("from-file");
  expect(keyOf({ STIGMER_API_KEY: "dummy-local-key", STIGMER_BACKEND_ENDPOINT: "host.docker.internal:50051" })).toBe(
    "dummy-local-key",
  );
});

test("this machine's key is shown to no other machine", () => {
  writeFileSync(join(home, "local.key"), "from-file");
  const result = readConfig(
    { MODE: "local", STIGMER_HOME: home, STIGMER_BACKEND_ENDPOINT: "stigmer.example.com:50051" },
    { home },
  );
  expect(result.ok ? [] : result.problems.map(({ message }) => message)).toEqual([
    "Missing required environment variable: STIGMER_API_KEY",
  ]);
});

test("a key file that can't be read is a problem, not an absent key", () => {
  mkdirSync(join(home, "local.key"));
  expect(keyOf({})).toBe(
    `${join(home, "local.key")} can't be read (EISDIR): make it readable for this user, or set STIGMER_API_KEY`,
  );
});

test("an empty key file counts as none", () => {
  writeFileSync(join(home, "local.key"), "\n");
  expect(keyOf({})).toBe("dummy-local-key");
});

test.each([
  ["localhost:1", true],
  ["LOCALHOST:1", true],
  ["app.localhost:1", true],
  ["127.0.0.1:1", true],
  ["127.9.9.9:1", true],
  ["[::1]:1", true],
  ["127.0.0.1.example.com:1", false],
  ["notlocalhost:1", false],
  ["10.0.0.1:1", false],
  ["[::2]:1", false],
  ["example.com:443", false],
  ["localhost", false],
  ["http://localhost:1", true],
  ["https://127.0.0.1", true],
  ["https://api.example.com", false],
  ["https://localhost@example.com", false],
])("isLoopback(%s) is %s", (endpoint, expected) => {
  expect(isLoopback(endpoint)).toBe(expected);
});

test("the command line's backend: local by default, another with its own key", () => {
  const readLocalKey = (): string => "from-file";
  expect(readBackend({}, { readLocalKey })).toEqual({
    ok: true,
    backend: { endpoint: "localhost:50051", tls: false, apiKey: "from-file" },
  });
  expect(
    readBackend({ STIGMER_BACKEND_ENDPOINT: "s.example.com:443", STIGMER_API_KEY: "k" }, { readLocalKey }),
  ).toEqual({
    ok: true,
    backend: { endpoint: "s.example.com:443", tls: true, apiKey: "k" },
  });
  expect(readBackend({ STIGMER_BACKEND_ENDPOINT: "s.example.com:443" }, { readLocalKey })).toMatchObject({
    ok: false,
    problems: [{ code: "missing-variable", variable: "STIGMER_API_KEY" }],
  });
  expect(readBackend({ STIGMER_BACKEND_ENDPOINT: "nonsense" }, { readLocalKey }).ok).toBe(false);
});

test.each([
  ["s.example.com:443", true],
  ["s.example.com:8443", false],
  ["https://s.example.com:8443", true],
  ["https://s.example.com", true],
  ["https://s.example.com/", true],
  ["http://s.example.com:443", false],
])("%s is spoken to over TLS: %s", (endpoint, tls) => {
  const result = readBackend({ STIGMER_BACKEND_ENDPOINT: endpoint, STIGMER_API_KEY: "k" });
  expect(result).toMatchObject({ ok: true, backend: { endpoint: endpoint.replace(/\/$/, ""), tls } });
});

test.each(["https://", "http://s.example.com", "ftp://s.example.com:1", "https://s.example.com/x", "https://a@b:1"])(
  "%s is no endpoint",
  (endpoint) => {
    const result = readBackend({ STIGMER_BACKEND_ENDPOINT: endpoint, STIGMER_API_KEY: "k" });
    expect(result).toMatchObject({ ok: false, problems: [{ variable: "STIGMER_BACKEND_ENDPOINT" }] });
  },
);

test("a private authority's certificates are read, and what is wrong with their file is told", () => {
  const file = join(home, "ca.pem");
  const read = () =>
    readBackend({ STIGMER_BACKEND_ENDPOINT: "https://s:1", STIGMER_API_KEY: "k", STIGMER_TLS_CA_FILE: file });
  const problem = (what: string) => ({
    ok: false,
    problems: [
      {
        code: "bad-file",
        path: file,
        message: `${file} ${what}: STIGMER_TLS_CA_FILE names the certificates of who vouches for the server`,
      },
    ],
  });
  expect(read()).toEqual(problem("can't be read (ENOENT)"));
  writeFileSync(file, "nothing");
  expect(read()).toEqual(problem("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
  const ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  writeFileSync(file, ca);
  expect(read()).toMatchObject({ ok: true, backend: { ca, tls: true } });
});
