// A gateway that really listens, in front of scripted conversations and of keys in a real NATS.
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { Writable } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { createGateway } from "#actors/gateway/app.ts";
import { KvKeyStore } from "#actors/gateway/keys.ts";
import type { ActorMailer, AdminStatus, KeyStore, Readiness } from "#actors/gateway/port.ts";
import type { GatewayDeps } from "#actors/gateway/settings.ts";
import type { KnowledgeStore } from "#actors/knowledge/port.ts";
import { contentHash, type KnowledgeDocument } from "#contracts/knowledge.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats } from "./nats.ts";
import { ScriptedConversations } from "./scripted-conversations.ts";

export function capturedLog(): { readonly log: ReturnType<typeof createLog>; text(): string } {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { log: createLog({ level: "trace", destination }), text: () => lines.join("") };
}

export class MemoryKnowledge implements KnowledgeStore {
  readonly #documents = new Map<string, KnowledgeDocument>();
  #revision = 0;
  /** What `waitIndexed` says. */
  indexed = true;

  async put(
    tenant: string,
    collection: string,
    document: string,
    input: Parameters<KnowledgeStore["put"]>[3],
  ) {
    const revision = ++this.#revision;
    this.#documents.set(JSON.stringify([tenant, collection, document]), {
      ...input,
      collection,
      document,
      revision,
      at: 1,
    });
    return { revision };
  }
  async get(tenant: string, collection: string, document: string) {
    return this.#documents.get(JSON.stringify([tenant, collection, document]));
  }
  async delete(tenant: string, collection: string, document: string) {
    return this.#documents.delete(JSON.stringify([tenant, collection, document]))
      ? { revision: ++this.#revision }
      : undefined;
  }
  async change(
    tenant: string,
    collection: string,
    { document, input }: Parameters<KnowledgeStore["change"]>[2],
  ) {
    const outcome = input ? ("stored" as const) : ("deleted" as const);
    const changed = input
      ? await this.put(tenant, collection, document, input)
      : await this.delete(tenant, collection, document);
    return { document, outcome, revision: changed?.revision ?? 0 };
  }
  async list(tenant: string, collection: string) {
    const prefix = JSON.stringify([tenant, collection]).slice(0, -1);
    const documents = [...this.#documents]
      .filter(([key]) => key.startsWith(`${prefix},`))
      .map(([, { text, ...rest }]) => ({ ...rest, hash: contentHash({ ...rest, text }) }));
    return { documents, revision: this.#revision };
  }
  async waitIndexed() {
    return this.indexed;
  }
}

export interface TestKeys {
  readonly bus: Bus;
  readonly keys: KvKeyStore;
  readonly url: string;
  stop(): Promise<void>;
}

/** Keys in a NATS server of their own, for all gateways of one test file. */
export async function startTestKeys(): Promise<TestKeys> {
  const nats = await startTestNats();
  const bus = await connectBus({ servers: nats.url, name: "test", log: capturedLog().log });
  await provision(bus, { shards: 1, pools: [] });
  const keys = await KvKeyStore.open(bus, systemClock);
  return {
    bus,
    keys,
    url: nats.url,
    async stop() {
      keys.close();
      await bus.close();
      await nats.stop();
    },
  };
}

export interface TestGateway {
  readonly url: string;
  readonly port: number;
  readonly conversations: ScriptedConversations;
  readonly knowledge: MemoryKnowledge;
  readonly app: ReturnType<typeof createGateway>;
  readiness: Readiness;
  logged(): string;
  /** JSON in, response out; key `demo` unless another is given. */
  ask(path: string, options?: Ask): Promise<Response>;
  stop(): Promise<void>;
}
export interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly key?: string | null;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

const NO_STATUS: AdminStatus = { at: 1, roles: [], streams: [] };
const NO_ACTORS: ActorMailer = { send: async () => ({ replied: false }), view: async () => undefined };

export async function startTestGateway(
  deps: Partial<GatewayDeps> & { keys: KeyStore; conversations?: ScriptedConversations },
): Promise<TestGateway> {
  const captured = capturedLog();
  const conversations = deps.conversations ?? new ScriptedConversations();
  const knowledge = new MemoryKnowledge();
  const state = { readiness: { ready: true, reasons: [] } as Readiness };
  const app = createGateway({
    knowledge,
    actors: NO_ACTORS,
    admin: { status: async () => NO_STATUS },
    readiness: () => state.readiness,
    clock: systemClock,
    log: captured.log,
    demoKey: true,
    ...deps,
    conversations,
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    conversations,
    knowledge,
    app,
    get readiness() {
      return state.readiness;
    },
    set readiness(value) {
      state.readiness = value;
    },
    logged: captured.text,
    ask: (path, { method, body, key = "demo", headers, signal } = {}) =>
      fetch(`${url}${path}`, {
        method: method ?? (body === undefined ? "GET" : "POST"),
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
      }),
    async stop() {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** A gateway for each test of a file, in front of one store of keys; told before each test. */
export function gatewayForEach(
  deps: Pick<GatewayDeps, "settings">,
  use: (gateway: TestGateway, store: TestKeys) => void,
): void {
  let store: TestKeys;
  let gateway: TestGateway;
  beforeAll(async () => {
    store = await startTestKeys();
  });
  afterAll(() => store.stop());
  beforeEach(async () => {
    gateway = await startTestGateway({ keys: store.keys, ...deps });
    use(gateway, store);
  });
  afterEach(() => gateway.stop());
}

/** Writes raw bytes and reads until the server closes. For what no HTTP client would send. */
export function rawExchange(
  port: number,
  bytes: string,
  options: { keepOpen?: boolean } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(bytes);
      if (!options.keepOpen) socket.end();
    });
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", (error) => (text ? resolve(text) : reject(error)));
    socket.on("close", () => resolve(text));
  });
}

export const statusOf = (raw: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(raw)?.[1]);

export interface ReadEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Record<string, unknown>;
}

/** Events of a stream, read until one of the given type or the end. */
export async function readEvents(
  response: Response,
  until: (event: ReadEvent, all: readonly ReadEvent[]) => boolean,
): Promise<ReadEvent[]> {
  const events: ReadEvent[] = [];
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return events;
    rest += decoder.decode(value, { stream: true });
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
      const event = field("event");
      if (event === undefined) continue;
      events.push({
        event,
        id: field("id"),
        data: JSON.parse(field("data") ?? "{}") as Record<string, unknown>,
      });
      if (until(events.at(-1) as ReadEvent, events)) {
        await reader.cancel();
        return events;
      }
    }
  }
}
export const untilDone = (event: ReadEvent): boolean => event.event === "done" || event.event === "error";
export const textOfEvents = (events: readonly ReadEvent[]): string =>
  events
    .filter((e) => e.event === "delta")
    .map((e) => e.data.text)
    .join("");

/** The one shape of every failure. */
export async function expectProblem(
  response: Response,
  status: number,
  code: string,
): Promise<Record<string, unknown>> {
  expect(response.headers.get("content-type")).toMatch(/^application\/problem\+json/);
  const problem = (await response.json()) as Record<string, unknown>;
  expect(problem).toMatchObject({ type: `urn:jetclaw:problem:${code}`, status, code });
  expect(response.status).toBe(status);
  for (const field of ["title", "next", "retry"]) expect(problem[field]).toEqual(expect.any(String));
  expect(problem.traceId).toMatch(/^[0-9a-f]{32}$/);
  return problem;
}
