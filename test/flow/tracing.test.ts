// One turn, three processes, real OTLP: the spans that arrive form one tree, from the HTTP request to the reply.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { startTestNats, type TestNats } from "../harness/nats.ts";
import { waitUntil } from "../harness/wait.ts";

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly service: string;
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
}
interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { key: string; value: { stringValue?: string } }[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const BIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
const spans: Span[] = [];
const children: ChildProcess[] = [];
let collector: Server;
let simulator: Simulator;
let nats: TestNats;

/** Starts a role in a process of its own. @returns the line that says it runs */
function startRole(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, ["--conditions=jetclaw-src", BIN, "run", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      ...process.env,
      JETCLAW_NATS_URL: nats.url,
      JETCLAW_PORT: "0",
      JETCLAW_MODEL: "",
      OPENAI_API_KEY: "",
      OPENAI_BASE_URL: simulator.baseUrl,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "100",
    },
  });
  children.push(child);
  let output = "";
  return new Promise((resolve, reject) => {
    child.stderr?.on("data", (data: Buffer) => {
      output += data.toString();
      const line = /^Running .*$/m.exec(output)?.[0];
      if (line) resolve(line);
    });
    child.on("exit", (code) => reject(new Error(`${args.join(" ")} ended with ${code}:\n${output}`)));
  });
}

function startCollector(): Promise<Server> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    response.setHeader("content-type", "application/json").end("{}");
    if (request.url !== "/v1/traces") return;
    const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString("utf8")) as OtlpBody;
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue ?? "";
      for (const { traceId, spanId, parentSpanId = "", name } of scopeSpans.flatMap((scope) => scope.spans))
        spans.push({ traceId, spanId, parentSpanId, name, service });
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

beforeAll(async () => {
  [collector, simulator, nats] = await Promise.all([
    startCollector(),
    startSimulator({ port: 0 }),
    startTestNats(),
  ]);
});

afterAll(async () => {
  const left = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  const ended = left.map((child) => new Promise((resolve) => child.once("exit", resolve)));
  for (const child of left) child.kill("SIGTERM");
  await Promise.all(ended);
  await simulator?.stop();
  collector?.close();
  await nats?.stop();
});

test("a turn over three processes is one trace", async () => {
  await Promise.all([startRole("conversation"), startRole("worker")]);
  const url = /http:\S+\d/.exec(await startRole("gateway"))?.[0];
  const response = await fetch(`${url}/v1/conversations/ann/messages`, {
    method: "POST",
    headers: { authorization: "Bearer demo", "content-type": "application/json" },
    body: JSON.stringify({ text: "How long does delivery take?" }),
  });
  expect(await response.json()).toMatchObject({ session: "ann", turn: 1, outcome: "answered" });
  const traceId = response.headers.get("traceparent")?.split("-")[1];

  const handled = (all: readonly Span[]): Span[] =>
    all.filter(({ name }) => name.startsWith("process conversation"));
  const turn = (): Span[] => spans.filter((span) => span.traceId === traceId);
  const find = (prefix: string): Span | undefined => turn().find(({ name }) => name.startsWith(prefix));
  const rootsOf = (all: readonly Span[]): Span[] =>
    all.filter(({ parentSpanId }) => !all.some(({ spanId }) => spanId === parentSpanId));
  // The question and the result are two runs of the actor. Each process sends its spans when it comes to it, a child's
  // before its parent's or after.
  await waitUntil(
    () =>
      handled(turn()).length >= 2 && ["POST ", "take ", "chat "].every(find) && rootsOf(turn()).length === 1,
    { what: "the spans of the turn" },
  );

  const tree = turn();
  const byId = new Map(tree.map((span) => [span.spanId, span]));
  const pathOf = (span: Span | undefined): string[] =>
    span ? [...pathOf(byId.get(span.parentSpanId)), span.service] : [];
  expect(rootsOf(tree).map(({ name }) => name)).toEqual(["POST /v1/conversations/:session/messages"]);
  expect(new Set(tree.map(({ service }) => service))).toEqual(
    new Set(["jetclaw-gateway", "jetclaw-conversation", "jetclaw-worker"]),
  );
  expect(pathOf(find("take INFER-default"))).toEqual([
    "jetclaw-gateway",
    "jetclaw-conversation",
    "jetclaw-worker",
  ]);
  expect(pathOf(find("chat "))).toEqual(["jetclaw-gateway", "jetclaw-conversation", "jetclaw-worker"]);
  // The reply: the actor's second run hangs under what the model answered.
  const paths = handled(tree).map(pathOf);
  expect(paths).toContainEqual(["jetclaw-gateway", "jetclaw-conversation"]);
  expect(paths).toContainEqual([
    "jetclaw-gateway",
    "jetclaw-conversation",
    "jetclaw-worker",
    "jetclaw-conversation",
  ]);
});
