import { copyFile, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Logger, silentLogger } from "../logger.ts";
import { createAuthority } from "./__fixtures__/certificates.ts";
import { type Certificate, openCertificate, type TlsFiles } from "./certificate.ts";

let folder: string;
let logged: string[];
const logger: Logger = {
  ...silentLogger,
  info: (_fields, message) => void logged.push(message),
  warn: (fields, message) => void logged.push("reason" in fields ? `${message}: ${fields.reason as string}` : message),
};
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-tls-"));
  logged = [];
});
afterEach(() => rm(folder, { recursive: true }));

const authority = await createAuthority();
const other = await createAuthority();

describe("a certificate", () => {
  it("is read with its key, and nothing is said of one that is good for long", async () => {
    const files = await authority.write(folder);
    const { present } = await openCertificate({ files, logger });
    expect(present.cert).toBe(await readFile(files.certFile, "utf8"));
    expect(logged).toEqual([]);
  });

  it.each([
    [-1, "the TLS certificate has expired: renew it"],
    [3, "the TLS certificate ends soon: renew it"],
  ])("that ends in %i days is used, and told of", async (days, says) => {
    await openCertificate({ files: await authority.write(folder, { days }), logger });
    expect(logged).toEqual([says]);
  });

  const locked = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;

  it.each<[string, (files: TlsFiles) => Promise<void>, RegExp]>([
    [
      "there is no certificate",
      ({ certFile }) => rm(certFile),
      /^Cannot read the TLS certificate \/.*: there is no such file; name another in STIGMER_TLS_CERT_FILE\.$/,
    ],
    [
      "there is no key",
      ({ keyFile }) => rm(keyFile),
      /^Cannot read the TLS private key \/.*: there is no such file; name another in STIGMER_TLS_KEY_FILE\.$/,
    ],
    ["the certificate is none", ({ certFile }) => writeFile(certFile, "x"), /holds no certificate in PEM/],
    ["the key is none", ({ keyFile }) => writeFile(keyFile, "x"), /holds no private key in PEM/],
    ["the key is locked", ({ keyFile }) => writeFile(keyFile, locked), /is locked by a passphrase/],
    [
      "the key is another's",
      async ({ keyFile }) => rename((await other.write(folder, { name: "other" })).keyFile, keyFile),
      /^The private key in \S+ is not that of the first certificate in \S+\.$/,
    ],
  ])("is refused in one line where %s", async (_what, damage, message) => {
    const files = await authority.write(folder);
    await damage(files);
    await expect(openCertificate({ files, logger })).rejects.toMatchObject({ code: "bad-certificate", message });
  });
});

describe("a certificate that is renewed", () => {
  const open = async (files: TlsFiles, used: Certificate[]) => {
    const certificate = await openCertificate({ files, logger, lookMs: 10 });
    certificate.keepFresh((next) => void used.push(next));
    return certificate;
  };

  it("takes the place of the one before, once both files are there", async () => {
    const files = await authority.write(folder);
    const used: Certificate[] = [];
    using certificate = await open(files, used);
    const next = await authority.write(folder, { name: "next" });
    await copyFile(next.certFile, files.certFile);
    await vi.waitFor(() => expect(logged.join()).toContain("stays the one before: The private key in"));
    expect(used).toEqual([]);
    await copyFile(next.keyFile, files.keyFile);
    await vi.waitFor(() => expect(used).toHaveLength(1));
    expect(certificate.present.cert).toBe(await readFile(next.certFile, "utf8"));
    expect(logged.at(-1)).toBe("the TLS certificate was renewed");
  });

  it("is seen behind a link that is swapped, as mounted secrets are", async () => {
    const before = await authority.write(folder, { name: "before" });
    const after = await authority.write(folder, { name: "after" });
    const files = { certFile: join(folder, "tls.crt"), keyFile: join(folder, "tls.key") };
    const link = async ({ certFile, keyFile }: TlsFiles): Promise<void> => {
      for (const [target, path] of [
        [certFile, files.certFile],
        [keyFile, files.keyFile],
      ] as const) {
        await symlink(target, `${path}.new`);
        await rename(`${path}.new`, path);
      }
    };
    await link(before);
    const used: Certificate[] = [];
    using certificate = await open(files, used);
    await link(after);
    await vi.waitFor(() => expect(certificate.present.key).not.toBe(""));
    await vi.waitFor(() => expect(used).toHaveLength(1));
    expect(used[0]?.key).toBe(await readFile(after.keyFile, "utf8"));
  });
});
