import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import pRetry from "p-retry";
import { callerOf, principalOf, type RequestGate } from "../interceptors/principal.ts";
import { grpcNameOf } from "../interceptors/trace-calls.ts";
import type { Logger } from "../logger.ts";
import type { AuditRecord } from "../store/audit-store.ts";
import { StoreError } from "../store/errors.ts";
import type { Store, StoreTransaction, TransactionOptions } from "../store/store.ts";
import { type CallDescription, describeCall, idIn, isChange } from "./describe-call.ts";
import { noteChanges } from "./note-changes.ts";

export interface AuditOptions {
  readonly store: Store;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** How a database is waited for that went away between a change and its entry; `p-retry`'s options. Default: half a minute. @internal */
  readonly patience?: { readonly retries?: number; readonly minTimeout?: number };
}

/** The log of who did what. */
export interface Audit {
  /** What calls write to: the entry of a change is stored in the transaction of the change. */
  readonly store: Store;
  /** Outside of what makes an error the call's answer, and inside of what makes it a span. */
  readonly interceptor: Interceptor;
  /** A gate whose refusals for want of a role are entries, of whichever method. */
  gated(gate: RequestGate): RequestGate;
}

/** A changing call under way. */
interface ChangingCall {
  readonly description: CallDescription;
  /** What the request names; "" when that is for the server to say. */
  readonly requested: string;
  /** Whose change is stored, with an entry. */
  recorded?: string;
  /** It was answered: what goes on in its name is the server's own work. */
  over: boolean;
}

const DONE = "OK";

/** About half a minute. */
const PATIENCE = { retries: 9, minTimeout: 100, maxTimeout: 5_000 } as const;

/**
 * Keeps an entry of each call that changes something, whatever came of it, and of each that the caller's role does not allow. The
 * entry is on disk before the call is answered: with the change, where that is a transaction of the store, so that neither is
 * there without the other; else right after it, for which a database that is away is waited for. A call whose change is done and whose entry can't be stored is answered INTERNAL;
 * a refusal stays what it is, and the log says that it was not recorded. Calls of runners have no entries: what they do to a run
 * is told by its status and its ledger.
 */
export function createAudit({ store, logger, clock, patience }: AuditOptions): Audit {
  const calls = new AsyncLocalStorage<ChangingCall>();

  function entryOf(description: CallDescription, resourceId: string, code: string): AuditRecord {
    return { ...description, id: randomUUID(), resourceId, code };
  }

  async function append(entry: AuditRecord): Promise<void> {
    await store.audit.append(entry);
    say(entry);
  }

  function say({ id: entryId, createdAt: at, ...told }: AuditRecord): void {
    logger.info({ entryId, at, ...told }, "audit");
  }

  /** Nothing was changed, so that there is no reason to take the caller's answer away. */
  async function appendRefusal(entry: AuditRecord): Promise<void> {
    await append(entry).catch((err: unknown) => {
      logger.error({ err, ...entry }, "a refused call could not be recorded in the audit log");
    });
  }

  async function transaction<T>(work: (tx: StoreTransaction) => Promise<T>, options?: TransactionOptions): Promise<T> {
    // Asked here: the work may run in the context of another call, together with which it is stored.
    const call = calls.getStore();
    if (!call || call.over || call.recorded !== undefined) return store.transaction(work, options);
    const { description, requested } = call;
    let entry: AuditRecord | undefined;
    const result = await store.transaction(async (tx) => {
      // It may run again.
      entry = undefined;
      const changed: string[] = [];
      const noting = noteChanges(tx, (kind, id) => void (kind === description.resourceKind && changed.push(id)));
      const result = await work(noting);
      const id = requested === "" ? changed[0] : changed.find((each) => each === requested);
      if (id !== undefined) {
        entry = entryOf(description, id, DONE);
        await tx.audit.append(entry);
      }
      return result;
    }, options);
    if (entry) {
      call.recorded = entry.resourceId;
      say(entry);
    }
    return result;
  }

  /** What is done can't be undone for want of an entry: a database that is away is waited for. */
  async function appendOnce(entry: AuditRecord): Promise<void> {
    const shouldRetry = ({ error }: { readonly error: Error }): boolean =>
      StoreError.is(error) && error.code === "unavailable";
    await pRetry(() => append(entry), { ...PATIENCE, ...patience, shouldRetry });
  }

  async function appendDone(call: ChangingCall, answer: object): Promise<void> {
    const { description, requested } = call;
    const id = requested || idIn(answer, description.resourceKind) || (call.recorded ?? "");
    if (call.recorded === id) return;
    try {
      await appendOnce(entryOf(description, id, DONE));
    } catch (cause) {
      logger.error({ err: cause, ...description, resourceId: id }, "a change could not be recorded in the audit log");
      const text = `${description.method} was done, but could not be recorded in the audit log: look what is there before you call it again`;
      throw new ConnectError(text, Code.Internal, undefined, undefined, cause);
    }
  }

  async function answerOf<T>(call: ChangingCall, next: () => Promise<T>): Promise<T> {
    try {
      return await calls.run(call, next).finally(() => (call.over = true));
    } catch (error) {
      const code = grpcNameOf(ConnectError.from(error).code);
      await appendRefusal(entryOf(call.description, call.requested, code));
      throw error;
    }
  }

  return {
    store: { ...store, transaction },
    interceptor: (next) => async (request) => {
      const { service, method, header, contextValues: values } = request;
      if (request.stream || !callerOf(values)) return next(request);
      const caller = principalOf({ values });
      if (!isChange(service, method) || caller.role === "runner" || caller.holds) return next(request);
      const description = describeCall({ service, method, header, values }, caller, clock());
      const requested = idIn(request.message, description.resourceKind);
      const call: ChangingCall = { description, requested, over: false };
      const response = await answerOf(call, () => next(request));
      if (!response.stream) await appendDone(call, response.message);
      return response;
    },
    gated: (gate) => async (context) => {
      try {
        await gate(context);
      } catch (error) {
        const { service, method, requestHeader: header, values } = context;
        const caller = callerOf(values);
        if (caller && ConnectError.from(error).code === Code.PermissionDenied) {
          const description = describeCall({ service, method, header, values }, caller, clock());
          await appendRefusal(entryOf(description, "", grpcNameOf(Code.PermissionDenied)));
        }
        throw error;
      }
    },
  };
}
