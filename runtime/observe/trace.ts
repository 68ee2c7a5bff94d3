/**
 * Spans over the OpenTelemetry API. Without an exporter a span costs nothing, not even the API's modules: its context passes
 * the parent through, so that a process without tracing never cuts a trace in two.
 */
import type * as otel from "@opentelemetry/api";
import type { Attributes, Span as OtelSpan, SpanStatusCode } from "@opentelemetry/api";
import type { TraceContext } from "#contracts/envelope.ts";
import { randomText } from "../random-pool.ts";

/** As the API numbers them. */
export const SpanKind = { INTERNAL: 0, SERVER: 1, CLIENT: 2, PRODUCER: 3, CONSUMER: 4 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export interface Span {
  /** What children carry, also across processes. */
  readonly context: TraceContext | undefined;
  set(attributes: Attributes): void;
  event(name: string, attributes?: Attributes): void;
  /** Ends the span; an error marks it failed. */
  end(error?: unknown): void;
}

export interface SpanOptions {
  readonly parent?: TraceContext | undefined;
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** Contexts of spans that this one concerns without being their child. */
  readonly links?: readonly (TraceContext | undefined)[];
  /** Ms since the epoch; now when left out. */
  readonly startAt?: number;
}

type Api = Pick<typeof otel, "ROOT_CONTEXT" | "SpanStatusCode" | "trace">;
let api: Api | undefined;
/** Called once by whoever installs an exporter. */
export function enableTracing(loaded: Api): void {
  api = loaded;
}

const silent = (context: TraceContext | undefined): Span => ({ context, set() {}, event() {}, end() {} });
const NOTHING = silent(undefined);

export function startSpan(name: string, options: SpanOptions = {}): Span {
  if (!api) return options.parent ? silent(options.parent) : NOTHING;
  const parent = options.parent ? parseTraceparent(options.parent) : undefined;
  const { ROOT_CONTEXT, SpanStatusCode, trace } = api;
  const context = parent ? trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true }) : ROOT_CONTEXT;
  const links = (options.links ?? [])
    .flatMap((l) => (l ? [parseTraceparent(l)] : []))
    .flatMap((c) => (c ? [{ context: c }] : []));
  const span = trace.getTracer("jetclaw").startSpan(
    name,
    {
      kind: options.kind ?? SpanKind.INTERNAL,
      ...(options.attributes ? { attributes: options.attributes } : {}),
      ...(links.length > 0 ? { links } : {}),
      ...(options.startAt === undefined ? {} : { startTime: options.startAt }),
    },
    context,
  );
  return live(span, SpanStatusCode.ERROR, options.parent?.tracestate);
}

function live(span: OtelSpan, failed: SpanStatusCode, tracestate: string | undefined): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return {
    context: {
      traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
      ...(tracestate ? { tracestate } : {}),
    },
    set: (attributes) => void span.setAttributes(attributes),
    event: (event, attributes) => void span.addEvent(event, attributes),
    end(error) {
      if (error !== undefined) {
        span.recordException(error instanceof Error ? error : String(error));
        span.setStatus({ code: failed });
      }
      span.end();
    },
  };
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Source: W3C Trace Context, section 3.2. Undefined for anything malformed. */
export function parseTraceparent(
  context: TraceContext,
): { traceId: string; spanId: string; traceFlags: number } | undefined {
  const match = TRACEPARENT.exec(context.traceparent);
  if (!match) return undefined;
  return {
    traceId: match[1] as string,
    spanId: match[2] as string,
    traceFlags: Number.parseInt(match[3] as string, 16),
  };
}

/** A context for a request that brought none and is not sampled here: problems can still name a trace id. */
export function freshContext(): TraceContext {
  return { traceparent: `00-${randomText(16, "hex")}-${randomText(8, "hex")}-00` };
}
