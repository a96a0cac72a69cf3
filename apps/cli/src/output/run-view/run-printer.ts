import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";

/** Shows a run while it goes on. */
export interface RunPrinter {
  /** The run was accepted. Not called for a run that somebody else started. */
  begin(run: { readonly sessionId: string }): void;
  update(status: AgentExecutionStatus, delta?: StatusDelta): void;
  /** Somebody else writes to the terminal: nothing is drawn until `release`. */
  hold(): void;
  release(): void;
  /** The last word: how the run ended, or where it stands when nobody waits for its end. */
  finish(status: AgentExecutionStatus): void;
  /** Leaves the terminal in order without a last word. Idempotent. */
  close(): void;
}

export type PrinterIo = Pick<CommandIo, "stdout" | "stderr" | "env">;

/** Replaces what must not be shown. */
export type Mask = (text: string) => string;
