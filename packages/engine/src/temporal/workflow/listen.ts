import { defineSignal, defineUpdate, log, setHandler } from "@temporalio/workflow";
import { ApplicationFailure, type RawValue, rawValueTypeInfo } from "@temporalio/common";
import { type InboxItem, InboxItemSchema } from "@stigmer/protos/runner/v1";
import type { SIGNAL_NAMES } from "../../contract.ts";
import type { Standing } from "../../engine.ts";
import { messageOf } from "../payload-converter.ts";
import { valueOf } from "./raw-values.ts";
import type { Orders } from "./orders.ts";

export interface ListenOptions {
  readonly executionId: string;
  readonly orders: Orders;
  readonly standing: () => Standing;
  /** Called after each order that was given, when the run may have to react. */
  readonly changed: () => void;
}

interface Order {
  /** Reads the argument, and answers what carries the order out. Throws one line when the order is no good. Changes nothing yet. */
  readonly prepare: (argument: unknown) => () => void;
}

/** Takes the orders that people give, by signal and by update. */
export function listen({ executionId, orders, standing, changed }: ListenOptions): void {
  const itemOrder = (wanted: "message" | "approval"): Order => ({
    prepare: (argument) => {
      const item: InboxItem = messageOf(InboxItemSchema, argument);
      const problem = orders.problemWith(item, wanted);
      if (problem !== undefined) throw refusal(`An item for the execution ${executionId} was refused. ${problem}`);
      return () => orders.take(item);
    },
  });
  const all: Record<keyof typeof SIGNAL_NAMES, Order> = {
    cancel: { prepare: (reason) => () => orders.cancel(reason) },
    pause: { prepare: (reason) => () => orders.askPause(reason) },
    resume: { prepare: () => () => orders.resume() },
    message: itemOrder("message"),
    resolveApproval: itemOrder("approval"),
  };

  for (const [name, { prepare }] of Object.entries(all)) {
    // Raw, since an argument that the SDK itself can't read would stop the workflow for good.
    const typeInfo = { inputTypes: [rawValueTypeInfo] };

    setHandler(defineSignal<[RawValue?]>(name, { typeInfo }), (raw) => {
      try {
        prepare(valueOf(raw))();
        changed();
      } catch (error) {
        log.warn(`The signal ${name} was dropped. ${error instanceof Error ? error.message : String(error)}`);
      }
    });

    setHandler(
      defineUpdate<Standing, [RawValue?]>(name, { typeInfo }),
      (raw) => {
        const stood = standing();
        prepare(valueOf(raw))();
        changed();
        return stood;
      },
      {
        validator: (raw?: RawValue) => {
          if (standing() === "over") throw refusal(`The execution ${executionId} is over; "${name}" came too late.`);
          prepare(valueOf(raw));
        },
      },
    );
  }
}

function refusal(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, "stigmer.OrderRefused");
}
