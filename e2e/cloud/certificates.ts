import { execa } from "execa";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** PEM files of a server on this machine, and of who vouches for it. */
export interface CertificateFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A private authority and a certificate of it for 127.0.0.1, named for their files. */
export async function makeCertificate(folder: string, name: string): Promise<CertificateFiles> {
  const file = (what: string): string => join(folder, `${name}-${what}.pem`);
  const openssl = (...args: string[]): Promise<unknown> => execa("openssl", args, { cwd: folder });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    file("ca-key"),
    "-out",
    file("ca"),
    "-days",
    "30",
    "-subj",
    `/CN=${name}`,
  );
  const extensions = file("extensions");
  await writeFile(extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  await openssl("req", ...key, "-keyout", file("key"), "-out", file("request"), "-subj", "/CN=127.0.0.1");
  const signed = ["-CA", file("ca"), "-CAkey", file("ca-key"), "-CAcreateserial", "-extfile", extensions];
  await openssl("x509", "-req", "-in", file("request"), ...signed, "-out", file("cert"), "-days", "30");
  return { caFile: file("ca"), certFile: file("cert"), keyFile: file("key") };
}
