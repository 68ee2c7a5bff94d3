// The variables by which operators send traces, against a collector: where to, how, in whose name, how many.
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo, createServer as createSocketServer } from "node:net";
import { diag, trace } from "@opentelemetry/api";
import { afterEach, expect, test, vi } from "vitest";
import { startTelemetry } from "#ops/observe.ts";
import type { Log } from "#runtime/observe/log.ts";
import { startSpan } from "#runtime/observe/trace.ts";

interface Received {
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const warned: object[] = [];
const log = { info: () => {}, warn: (what: object) => void warned.push(what) } as unknown as Log;

afterEach(() => {
  vi.unstubAllEnvs();
  warned.length = 0;
});

/** A process that ends one span and then ends itself. */
async function endASpan(environment: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const telemetry = await startTelemetry("jetclaw-test", log);
  startSpan("a turn").end();
  await telemetry.stop();
  // One process has one of each.
  trace.disable();
  diag.disable();
}

/** What reaches a collector that answers with the status. */
async function received(environment: Readonly<Record<string, string>>, status = 200): Promise<Received[]> {
  const requests: Received[] = [];
  const collector = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    requests.push({ url: request.url, headers: request.headers, body: Buffer.concat(chunks) });
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const { port } = collector.address() as AddressInfo;
  await endASpan({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, ...environment });
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
  return requests;
}

async function attributesOf(environment: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const [request] = await received({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", ...environment });
  const { resourceSpans } = JSON.parse(String(request?.body)) as {
    resourceSpans: { resource: { attributes: { key: string; value: { stringValue: string } }[] } }[];
  };
  const attributes = resourceSpans[0]?.resource.attributes ?? [];
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue]));
}

test("by default as protobuf, with the headers that were named", async () => {
  const [request, ...more] = await received({ OTEL_EXPORTER_OTLP_HEADERS: "x-api-key=s3cret" });
  expect(more).toEqual([]);
  expect(request).toMatchObject({
    url: "/v1/traces",
    headers: { "content-type": "application/x-protobuf", "x-api-key": "s3cret" },
  });
  expect(request?.body.includes("a turn")).toBe(true);
  expect(warned).toEqual([]);
});

test("as JSON, in the name of the process or of who named it", async () => {
  const named = async (environment: Readonly<Record<string, string>>) =>
    (await attributesOf(environment))["service.name"];
  expect(await named({})).toBe("jetclaw-test");
  expect(await named({ OTEL_SERVICE_NAME: "" })).toBe("jetclaw-test");
  const shop = { OTEL_RESOURCE_ATTRIBUTES: "service.name=shop,deployment.environment=live" };
  expect(await attributesOf(shop)).toMatchObject({
    "service.name": "shop",
    "deployment.environment": "live",
    "host.name": expect.any(String),
  });
  expect(await named({ ...shop, OTEL_SERVICE_NAME: "bot" })).toBe("bot");
});

test("by gRPC", async () => {
  let said = "";
  const collector = createSocketServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      said += String(data);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const { port } = collector.address() as AddressInfo;
  await endASpan({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_EXPORTER_OTLP_TIMEOUT: "300",
  });
  await new Promise((resolve) => collector.close(resolve));
  expect(said).toContain("PRI * HTTP/2.0");
});

test.each([
  ["a sampler that takes none", { OTEL_TRACES_SAMPLER: "always_off" }],
  ["a share of none", { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" }],
  ["what is switched off", { OTEL_SDK_DISABLED: "true" }],
  ["no exporter", { OTEL_TRACES_EXPORTER: "none" }],
])("nothing leaves with %s", async (_, environment) => {
  expect(await received(environment)).toEqual([]);
  expect(warned).toEqual([]);
});

test("a misspelt protocol, another exporter and a collector that refuses are told", async () => {
  const [request] = await received({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/proto" });
  expect(request?.headers["content-type"]).toBe("application/x-protobuf");
  expect(warned).toEqual([{ protocol: "http/proto" }]);
  vi.stubEnv("OTEL_EXPORTER_OTLP_PROTOCOL", "");
  expect(await received({ OTEL_TRACES_EXPORTER: "zipkin" })).toEqual([]);
  expect(warned).toEqual([{ protocol: "http/proto" }, { exporter: "zipkin" }]);
  await received({ OTEL_TRACES_EXPORTER: "" }, 404);
  expect(warned).toHaveLength(3);
});
