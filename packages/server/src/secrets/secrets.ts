import type { Message } from "@bufbuild/protobuf";

/** What stands in place of a secret's value in every answer that is not for the run that owns it. */
export const SECRET_MASK = "********";

/**
 * Keeps secret values (those with `is_secret`) out of the store and out of answers. Works on the messages that carry them:
 * Environment, Agent and McpServer (`env_spec`), ExecutionContext, AgentExecution (`runtime_env`); any other message passes
 * unchanged. None of the methods changes its argument.
 */
export interface Secrets {
  /** Encrypts each secret value. A value that equals `SECRET_MASK` is taken (sealed) from `previous`, so that what was read can be applied again. */
  seal<T extends Message>(message: T, previous?: T): T;
  /** Decrypts each secret value. Throws `SecretsError` when the key is not the one that sealed it. */
  open<T extends Message>(message: T): T;
  /** Replaces each secret value by `SECRET_MASK`. */
  mask<T extends Message>(message: T): T;
  /** Whether two messages, each sealed or clear, hold the same values. Encryption is salted, so sealed bytes can't be compared. */
  equal<T extends Message>(a: T, b: T): boolean;
}
