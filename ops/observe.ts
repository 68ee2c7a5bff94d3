/**
 * Traces over OTLP, by the standard OTEL_* variables. Without an endpoint nothing is loaded and a span costs nothing; with
 * one, only the exporter of its protocol.
 */
import type { SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { Log } from "#runtime/observe/log.ts";
import { enableTracing } from "#runtime/observe/trace.ts";

export interface Telemetry {
  /** Sends what is held, then closes. */
  stop(): Promise<void>;
}

/** A collector that is gone must not hold a process that wants to end. */
const FLUSH_LIMIT_MS = 3_000;
/** It is told no more often than this that traces do not leave. */
const TELL_MS = 60_000;

export async function startTelemetry(service: string, log: Log): Promise<Telemetry> {
  if (!wanted(log)) return { stop: async () => {} };
  const [api, { BasicTracerProvider, BatchSpanProcessor }, resources, exporter] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace-base"),
    import("@opentelemetry/resources"),
    exporterOf(log),
  ]);
  const { defaultResource, detectResources, envDetector, hostDetector, osDetector } = resources;
  api.diag.setLogger(told(log), { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true });
  const provider = new BasicTracerProvider({
    // The variables come last: who names the service there means it.
    resource: defaultResource()
      .merge(resources.resourceFromAttributes({ "service.name": service }))
      .merge(detectResources({ detectors: [envDetector, hostDetector, osDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  api.trace.setGlobalTracerProvider(provider);
  enableTracing(api);
  log.info({ service }, "sending traces");
  return {
    async stop() {
      let timer: NodeJS.Timeout | undefined;
      const limit = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_LIMIT_MS);
      });
      await Promise.race([
        provider.shutdown().catch((err: unknown) => log.warn({ err }, "traces not flushed")),
        limit,
      ]);
      clearTimeout(timer);
    },
  };
}

/** Where traces go; undefined: nowhere. */
export function traceEndpoint(): string | undefined {
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SDK_DISABLED } = process.env;
  if (OTEL_SDK_DISABLED?.toLowerCase() === "true" || process.env.OTEL_TRACES_EXPORTER === "none")
    return undefined;
  return OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || OTEL_EXPORTER_OTLP_ENDPOINT || undefined;
}

function wanted(log: Log): boolean {
  if (traceEndpoint() === undefined) return false;
  const exporter = process.env.OTEL_TRACES_EXPORTER || "otlp";
  if (exporter === "otlp") return true;
  log.warn({ exporter }, "OTEL_TRACES_EXPORTER is neither otlp nor none: no traces are sent");
  return false;
}

/** Address, headers, time-out, compression and certificates it reads for itself. */
async function exporterOf(log: Log): Promise<SpanExporter> {
  const { OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL } = process.env;
  const protocol = OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || OTEL_EXPORTER_OTLP_PROTOCOL || "http/protobuf";
  if (protocol === "grpc") {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-grpc");
    return new OTLPTraceExporter();
  }
  if (protocol === "http/json") {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
    return new OTLPTraceExporter();
  }
  if (protocol !== "http/protobuf")
    log.warn(
      { protocol },
      "OTEL_EXPORTER_OTLP_PROTOCOL is none of http/protobuf, http/json, grpc: using http/protobuf",
    );
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter();
}

/** What OpenTelemetry says of itself, such as a collector that does not answer, which nobody would hear else. */
function told(log: Log) {
  let saidAt = Number.NEGATIVE_INFINITY;
  const say = (reason: string): void => {
    const now = performance.now();
    if (now - saidAt < TELL_MS) return;
    saidAt = now;
    log.warn({ reason: messageIn(reason) }, "OpenTelemetry says that something is wrong with the traces");
  };
  const nothing = (): void => {};
  return { error: say, warn: say, info: nothing, debug: nothing, verbose: nothing };
}

/** An error of an exporter comes as JSON with its stack. */
function messageIn(reason: string): string {
  try {
    const { message } = JSON.parse(reason) as { message?: unknown };
    return typeof message === "string" ? message : reason;
  } catch {
    return reason;
  }
}
