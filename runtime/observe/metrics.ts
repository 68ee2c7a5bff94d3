/**
 * Counters, histograms and gauges, exported as Prometheus text. Labels are bounded sets, never ids.
 * One registry a process; every name is declared here so that dashboards have one place to look. Only a process that serves
 * `/metrics` counts: elsewhere nobody could read it, and OpenTelemetry's modules are a fifth of a start.
 */
import type { Meter } from "@opentelemetry/api";

export type Labels = Readonly<Record<string, string>>;

/** What is declared is made when the process begins to count. */
const declared = new Set<(meter: Meter) => void>();
let registry: { readonly meter: Meter; text(): Promise<string> } | undefined;
let enabling: Promise<void> | undefined;

function declare(make: (meter: Meter) => void): void {
  declared.add(make);
  if (registry) make(registry.meter);
}

/** Begins to count; once a process, however often it is called. */
export function enableMetrics(): Promise<void> {
  enabling ??= makeRegistry();
  return enabling;
}

async function makeRegistry(): Promise<void> {
  const [{ PrometheusExporter, PrometheusSerializer }, { MeterProvider }] = await Promise.all([
    import("@opentelemetry/exporter-prometheus"),
    import("@opentelemetry/sdk-metrics"),
  ]);
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const meter = new MeterProvider({ readers: [exporter] }).getMeter("jetclaw");
  // Without `target_info`: Prometheus names what it reads, and OpenTelemetry would name the path of Node.
  const serializer = new PrometheusSerializer("jetclaw", true, undefined, true);
  const text = async (): Promise<string> => serializer.serialize((await exporter.collect()).resourceMetrics);
  registry = { meter, text };
  for (const make of declared) make(meter);
}

const MS_BUCKETS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

const counter = (name: string, description: string) => {
  let instrument: ReturnType<Meter["createCounter"]> | undefined;
  declare((meter) => {
    instrument = meter.createCounter(name, { description });
  });
  return (labels: Labels = {}, by = 1): void => instrument?.add(by, labels);
};
const histogramOf = (name: string, description: string, buckets: number[], unit?: string) => {
  let instrument: ReturnType<Meter["createHistogram"]> | undefined;
  declare((meter) => {
    const advice = { explicitBucketBoundaries: buckets };
    instrument = meter.createHistogram(name, { description, advice, ...(unit ? { unit } : {}) });
  });
  return (value: number, labels: Labels = {}): void => instrument?.record(value, labels);
};
const histogramMs = (name: string, description: string) => histogramOf(name, description, MS_BUCKETS, "ms");

export const metrics = {
  turns: counter("turns", "closed turns by outcome and cache level"),
  turnMs: histogramMs("turn", "first message of a turn to its closing"),
  commits: counter("actor_commits", "actor commits by result"),
  repeats: counter("actor_repeats", "messages dropped because they had been processed"),
  lateResults: counter("late_results", "results for unknown or closed turns"),
  handlerFailures: counter("handler_failures", "failed runs of a handler by kind"),
  deadLetters: counter("dead_letters", "messages given up by reason"),
  republished: counter("outbox_republished", "stored outboxes published again at activation"),
  takeovers: counter("partition_takeovers", "partitions taken by reason"),
  handoffs: counter("partition_handoffs", "partitions handed over by their owner"),
  jobs: counter("jobs", "inference attempts by pool, class and result"),
  jobMs: histogramMs("job", "model time of an attempt"),
  queuedMs: histogramMs("job_queued", "wait of a job before a worker took it"),
  firstTokenMs: histogramMs("job_first_token", "job taken to first token"),
  batchSize: histogramOf(
    "batch_size",
    "requests of a batch by model",
    [1, 2, 4, 8, 12, 16, 24, 32, 64, 128, 256],
  ),
  batchWaitMs: histogramMs("batch_wait", "wait of a request for its batch by model"),
  offline: counter("offline_requests", "requests of a provider's batches by model and what became of them"),
  tokens: counter("tokens", "model tokens by direction and pool"),
  costUsd: counter("cost_usd", "US dollars spent on models by pool"),
  embeddings: counter("embeddings", "embedding requests by purpose and result"),
  embeddingMs: histogramMs("embedding", "time of an embedding request by purpose"),
  vectors: counter("vector_requests", "requests to the vector index by operation and result"),
  retrievals: counter("retrievals", "retrievals by part (words, vectors, remote, memory) and result"),
  cache: counter("cache_lookups", "cache look-ups by level and result"),
  requests: counter("http_requests", "HTTP requests by route and status class"),
  refusals: counter("refusals", "refused messages by reason"),
  missingAssistants: counter(
    "missing_assistants",
    "conversations that asked for an assistant that there is not, answered by the first",
  ),
  reaped: counter("jobs_reaped", "jobs closed past their deadline"),
} as const;

/** A gauge read when metrics are collected; returns the function that removes it. */
export function gauge(
  name: string,
  description: string,
  read: () => readonly { value: number; labels?: Labels }[],
): () => void {
  let remove = (): void => {};
  const callback = (result: { observe(value: number, labels?: Labels): void }): void => {
    for (const { value, labels } of read()) result.observe(value, labels ?? {});
  };
  const make = (meter: Meter): void => {
    const instrument = meter.createObservableGauge(name, { description });
    instrument.addCallback(callback);
    remove = () => instrument.removeCallback(callback);
  };
  declare(make);
  return () => {
    declared.delete(make);
    remove();
  };
}

/** Everything as Prometheus text exposition; empty in a process that does not count. */
export const prometheusText = async (): Promise<string> => (registry ? registry.text() : "");
