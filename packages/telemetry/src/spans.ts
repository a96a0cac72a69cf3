// What libraries need to be traced: OpenTelemetry's API alone. Where no SDK is set up, its spans record nothing.
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Link,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TimeInput,
  trace,
} from "@opentelemetry/api";

/** What is done, and by which library. */
export interface SpanChoice {
  /** The library, such as `@stigmer/server`. */
  readonly scope: string;
  readonly name: string;
  /** Default: something inside of the process. */
  readonly kind?: "internal" | "server" | "client";
  /** Never secrets, prompts, arguments or results. */
  readonly attributes?: Attributes;
  /** Default: the span under way. */
  readonly parent?: Context;
  readonly links?: Link[];
  /** Default: now. */
  readonly startTime?: TimeInput;
  /** The kind of failure that what is thrown is; undefined: none. Default: its code, or the name of its class. */
  readonly failureOf?: (error: unknown) => string | undefined;
}

const kinds = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

/** Begins a span, which its caller ends. */
export function startSpan({ scope, name, kind = "internal", parent, ...choice }: SpanChoice): Span {
  const { attributes, links, startTime } = choice;
  const options = { attributes, links, startTime, kind: kinds[kind] };
  return trace.getTracer(scope).startSpan(name, options, parent ?? context.active());
}

/** Does `work` within a span that ends with it; what is done meanwhile is traced below it. */
export async function inSpan<T>(choice: SpanChoice, work: (span: Span) => Promise<T>): Promise<T> {
  const span = startSpan(choice);
  try {
    return await context.with(trace.setSpan(choice.parent ?? context.active(), span), () => work(span));
  } catch (error) {
    const failure = (choice.failureOf ?? failureOf)(error);
    if (failure !== undefined) noteFailure(span, failure);
    throw error;
  } finally {
    span.end();
  }
}

/** Marks a span as failed by the kind of the failure alone: a message may hold what was asked, or a secret. */
export function noteFailure(span: Span, failure: string): void {
  span.setAttribute("error.type", failure);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/** Its code, or the name of its class. */
export function failureOf(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  const type = [code, name].find((value) => typeof value === "string" && value !== "");
  return typeof type === "string" ? type : "_OTHER";
}

/** Whether spans go anywhere in this process: what only they need can be left out else. */
export function isTraced(): boolean {
  return propagation.fields().length > 0;
}

/** The span under way as W3C `traceparent`; empty when nothing is traced. */
export function traceparentHere(): string {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent ?? "";
}

/** The present context below the span that a `traceparent` names; the present one when it names none, or nothing is traced. */
export function contextFrom(traceparent: string | undefined): Context {
  return traceparent ? propagation.extract(context.active(), { traceparent }) : context.active();
}

/** Names the span under way, for log lines; nothing when none is. */
export function activeTrace(): { readonly traceId: string; readonly spanId: string } | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span && isSpanContextValid(span) ? { traceId: span.traceId, spanId: span.spanId } : undefined;
}

/** What a caller says of its span, when that is a well-formed W3C `traceparent`; else empty. */
export function readTraceparent(text: string | null): string {
  return text !== null && /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(text) ? text : "";
}

/** A link to the span that a `traceparent` names; undefined when it names none, or nothing is traced. */
export function linkTo(traceparent: string | undefined): Link | undefined {
  const context = traceparent ? trace.getSpanContext(propagation.extract(ROOT_CONTEXT, { traceparent })) : undefined;
  return context && { context };
}

export type { Span };
