/**
 * Traces over OTLP, by the standard OTEL_* variables. Without an endpoint nothing is loaded and a span costs nothing.
 */
import type { Log } from "#runtime/observe/log.ts";
import { enableTracing } from "#runtime/observe/trace.ts";

export interface Telemetry {
  /** Sends what is held, then closes. */
  stop(): Promise<void>;
}

/** A collector that is gone must not hold a process that wants to end. */
const FLUSH_LIMIT_MS = 3_000;

export async function startTelemetry(service: string, log: Log): Promise<Telemetry> {
  if (!wanted()) return { stop: async () => {} };
  // Only turns are traced; what the SDK would send besides by default is on where the operator says so.
  process.env.OTEL_METRICS_EXPORTER ??= "none";
  process.env.OTEL_LOGS_EXPORTER ??= "none";
  process.env.OTEL_NODE_RESOURCE_DETECTORS ??= "env,host,os";
  const { api, NodeSDK } = await import("@opentelemetry/sdk-node");
  const sdk = new NodeSDK({ serviceName: process.env.OTEL_SERVICE_NAME ?? service });
  sdk.start();
  enableTracing(api);
  log.info({ service }, "sending traces");
  return {
    async stop() {
      let timer: NodeJS.Timeout | undefined;
      const limit = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_LIMIT_MS);
      });
      await Promise.race([
        sdk.shutdown().catch((err: unknown) => log.warn({ err }, "traces not flushed")),
        limit,
      ]);
      clearTimeout(timer);
    },
  };
}

function wanted(): boolean {
  const {
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_SDK_DISABLED,
    OTEL_TRACES_EXPORTER,
  } = process.env;
  if (OTEL_SDK_DISABLED?.toLowerCase() === "true" || OTEL_TRACES_EXPORTER === "none") return false;
  return Boolean(OTEL_EXPORTER_OTLP_ENDPOINT || OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
}
