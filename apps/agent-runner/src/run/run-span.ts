import type { Agent } from "@stigmer/protos/agent/v1";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { linkTo, noteFailure, type Span } from "@stigmer/telemetry";

/** What is said of an attempt as it becomes known. Never what the agent was asked, or said. */
export interface RunSpan {
  /** An earlier attempt's span (W3C `traceparent`): this one goes on with its work. */
  follows(traceparent: string | undefined): void;
  isOf(agent: Agent): void;
  isOn(threadId: string): void;
  uses(prepared: { readonly model: string; readonly sandboxId: string; readonly position: string }): void;
  ended(phase: ExecutionPhase): void;
}

export function runSpan(span: Span): RunSpan {
  return {
    follows(traceparent) {
      const link = linkTo(traceparent);
      if (link) span.addLink(link);
    },
    isOf({ metadata }) {
      const { id = "", slug = "", org = "" } = metadata ?? {};
      span.updateName(`invoke_agent ${slug}`);
      span.setAttributes({ "gen_ai.agent.id": id, "gen_ai.agent.name": slug, "stigmer.org": org });
    },
    isOn(threadId) {
      span.setAttribute("stigmer.thread.id", threadId);
    },
    uses({ model, sandboxId, position }) {
      const [provider = "", ...name] = model.split(":");
      span.setAttributes({
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name.join(":"),
        "stigmer.sandbox.id": sandboxId,
        "stigmer.run.position": position,
      });
    },
    ended(phase) {
      span.setAttribute("stigmer.phase", ExecutionPhase[phase] ?? "");
      if (phase === ExecutionPhase.EXECUTION_FAILED) noteFailure(span, "EXECUTION_FAILED");
    },
  };
}
