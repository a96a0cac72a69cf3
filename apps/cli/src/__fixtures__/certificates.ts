// What @peculiar/x509 is made with wants it there first.
import "reflect-metadata";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { TlsFiles } from "@stigmer/server";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 24 * 60 * 60 * 1000;

export interface Authority {
  /** PEM, of its own certificate. */
  readonly ca: string;
  /** Writes a certificate for `localhost` and 127.0.0.1, and its key. */
  write(directory: string, options?: { readonly name?: string; readonly days?: number }): Promise<TlsFiles>;
}

/** A private certificate authority, made for a test. */
export async function createAuthority(): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const ca: X509Certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=Stigmer's test authority",
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 30 * DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS * 30),
    extensions: [
      new BasicConstraintsExtension(true, 1, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return {
    ca: ca.toString("pem"),
    write: async (directory, { name = "server", days = 20 } = {}) => {
      const own = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const certificate = await X509CertificateGenerator.create({
        subject: `CN=${name}`,
        issuer: ca.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        notBefore: new Date(Date.now() - 20 * DAY_MS),
        notAfter: new Date(Date.now() + days * DAY_MS),
        extensions: [
          new SubjectAlternativeNameExtension([
            { type: "dns", value: "localhost" },
            { type: "ip", value: "127.0.0.1" },
          ]),
        ],
      });
      const files = { certFile: join(directory, `${name}.pem`), keyFile: join(directory, `${name}-key.pem`) };
      const key = PemConverter.encode(await crypto.subtle.exportKey("pkcs8", own.privateKey), "PRIVATE KEY");
      await writeFile(files.certFile, certificate.toString("pem"));
      await writeFile(files.keyFile, key, { mode: 0o600 });
      return files;
    },
  };
}
