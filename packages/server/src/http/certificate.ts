import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { unwatchFile, watchFile } from "node:fs";
import { ServerError } from "../errors.ts";
import type { Logger } from "../logger.ts";

/** Where a server's certificate is. Both files may be replaced while the server runs. */
export interface TlsFiles {
  /** PEM: the server's own certificate, then those that lead to the root. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

/** A certificate and its private key, which fit each other. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** When it ends. */
  readonly notAfter: Date;
}

export interface OpenCertificate extends Disposable {
  readonly present: Certificate;
  /** From now on looks at the files, and calls `use` with each certificate that takes the place of the one before. */
  keepFresh(use: (certificate: Certificate) => void): void;
}

export interface OpenCertificateOptions {
  readonly files: TlsFiles;
  readonly logger: Logger;
  /** How often the files are looked at, in milliseconds. Default 1 s. */
  readonly lookMs?: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Whoever renews certificates by a program has a new one by then. */
const SOON_MS = 7 * DAY_MS;

/**
 * Reads a certificate, and after `keepFresh` again when its files change, until disposed: who renews it need not restart the
 * server. One that can't be used leaves the one before in its place. Throws `ServerError` `bad-certificate`.
 */
export async function openCertificate(options: OpenCertificateOptions): Promise<OpenCertificate> {
  const { files, logger, lookMs = 1_000 } = options;
  const { certFile, keyFile } = files;
  let present = await readCertificate(files);
  tellEnd(present);
  let stop: () => void = () => {};

  async function renew(use: (certificate: Certificate) => void): Promise<void> {
    try {
      const next = await readCertificate(files);
      if (next.cert === present.cert && next.key === present.key) return;
      present = next;
      use(next);
      logger.info({ certFile, notAfter: next.notAfter.toISOString() }, "the TLS certificate was renewed");
      tellEnd(next);
    } catch (error) {
      // One file comes after the other: what does not fit now may fit at the next change.
      logger.warn({ reason: (error as Error).message }, "the TLS certificate stays the one before");
    }
  }

  function tellEnd({ notAfter }: Certificate): void {
    const left = notAfter.getTime() - Date.now();
    if (left > SOON_MS) return;
    const fields = { certFile, notAfter: notAfter.toISOString() };
    logger.warn(
      fields,
      left > 0 ? "the TLS certificate ends soon: renew it" : "the TLS certificate has expired: renew it",
    );
  }

  return {
    get present() {
      return present;
    },
    keepFresh: (use) => {
      // One after the other, or an older pair might win.
      let reading = Promise.resolve();
      const onChange = (): void => void (reading = reading.then(() => renew(use)));
      // By asking, not by events of the file system: mounted secrets are swapped through links.
      for (const file of [certFile, keyFile]) watchFile(file, { interval: lookMs, persistent: false }, onChange);
      stop = () => {
        for (const file of [certFile, keyFile]) unwatchFile(file, onChange);
      };
    },
    [Symbol.dispose]: () => stop(),
  };
}

async function readCertificate({ certFile, keyFile }: TlsFiles): Promise<Certificate> {
  const cert = await read(certFile, "certificate", "STIGMER_TLS_CERT_FILE");
  const key = await read(keyFile, "private key", "STIGMER_TLS_KEY_FILE");
  const parsed = attempt(
    () => new X509Certificate(cert),
    () => `${certFile} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)`,
  );
  const privateKey = attempt(
    () => createPrivateKey(key),
    () =>
      /ENCRYPTED/.test(key)
        ? `The private key in ${keyFile} is locked by a passphrase: keep it without one, readable for this user alone`
        : `${keyFile} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)`,
  );
  if (!parsed.checkPrivateKey(privateKey)) {
    throw bad(`The private key in ${keyFile} is not that of the first certificate in ${certFile}`);
  }
  return { cert, key, notAfter: parsed.validToDate };
}

async function read(file: string, what: string, variable: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "there is no such file" : message;
    throw bad(`Cannot read the TLS ${what} ${file}: ${reason}; name another in ${variable}`, cause);
  }
}

function attempt<T>(work: () => T, message: () => string): T {
  try {
    return work();
  } catch (cause) {
    throw bad(message(), cause);
  }
}

function bad(message: string, cause?: unknown): ServerError {
  return new ServerError("bad-certificate", `${message}.`, { cause });
}
