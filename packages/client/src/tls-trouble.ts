const UNTRUSTED = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_ALTNAME)/;

/**
 * What kept a call from being made over TLS, for people: `it does not speak TLS`, or what is wrong with its certificate. Undefined where
 * the call failed of something else. Takes whatever a call threw.
 */
export function tlsTroubleOf(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; { cause } = cause) {
    const { code } = cause as { code?: unknown };
    if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `it shows a certificate of another host (${cause.message})`;
    if (typeof code === "string" && UNTRUSTED.test(code)) {
      // Node's advice is for those who write programs.
      return `it shows a certificate that is not to be trusted (${cause.message.replace(/; if the root CA is .*$/, "")})`;
    }
    if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
      return "it does not speak TLS";
    if (typeof code === "string" && /^(ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code)) return cause.message;
  }
  return undefined;
}
