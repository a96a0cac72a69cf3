import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { tlsTroubleOf } from "./tls-trouble.ts";

const failed = (code: string, message = "what Node says"): ConnectError =>
  new ConnectError("x", Code.Unavailable, undefined, undefined, Object.assign(new Error(message), { code }));

it.each([
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "it shows a certificate that is not to be trusted (what Node says)"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "it shows a certificate of another host (what Node says)"],
  ["EPROTO", "what Node says"],
  ["ECONNREFUSED", undefined],
])("says of %s: %s", (code, says) => {
  expect(tlsTroubleOf(failed(code))).toBe(says);
});

it("leaves out Node's advice to programmers", () => {
  const text =
    "unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca";
  expect(tlsTroubleOf(failed("UNABLE_TO_VERIFY_LEAF_SIGNATURE", text))).toBe(
    "it shows a certificate that is not to be trusted (unable to verify the first certificate)",
  );
});
