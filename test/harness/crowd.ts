// A thousand clients at once: pages that read a gateway's events, and programs with a connection of their own that ask
// actors. Each does what a real one does when its connection ends: it comes again.
import { type ClientRequest, get } from "node:http";
import { connectTo } from "#ops/compose/open.ts";
import { askActor } from "#runtime/actor/client.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { createLog } from "#runtime/observe/log.ts";
import { markerOf } from "./history.ts";
import type { Recorder } from "./recorder.ts";
import { pause, waitUntil } from "./wait.ts";

export interface CrowdOptions {
  readonly gatewayUrl: string;
  readonly natsUrl: string;
  readonly recorder: Recorder;
  readonly pages: number;
  readonly programs: number;
}

/** The tenant of the key `demo`. */
const TENANT = "demo";
const AUTHORIZATION = "Bearer demo";
/** So many send at once: a crowd comes together, its messages need not. */
const AT_ONCE = 32;
const RETRY_MS = 500;
const PATIENCE_MS = 120_000;
const ASK_MS = 10_000;

/** A page that follows one session, as an EventSource does. */
class Page {
  readonly session: string;
  /** The last turn whose end it has read. */
  turn = 0;
  /** Streams that the gateway ended. */
  dropped = 0;
  #request: ClientRequest | undefined;
  #closed = false;

  constructor(session: string) {
    this.session = session;
  }

  /** Resolves when the gateway has answered. */
  open(gatewayUrl: string): Promise<void> {
    const url = `${gatewayUrl}/v1/conversations/${this.session}/events`;
    const headers = { authorization: AUTHORIZATION, "last-event-id": `${this.turn + 1}.0.0` };
    return new Promise((resolve) => {
      const again = (): void => {
        if (this.#closed) return;
        this.dropped++;
        setTimeout(() => void this.open(gatewayUrl), RETRY_MS);
      };
      this.#request = get(url, { headers, agent: false }, (response) => {
        resolve();
        let rest = "";
        response.on("data", (chunk: Buffer) => {
          const blocks = (rest + chunk.toString()).split("\n\n");
          rest = blocks.pop() ?? "";
          for (const block of blocks) this.#read(block);
        });
        response.once("close", again);
      });
      this.#request.once("error", () => {});
    });
  }

  close(): void {
    this.#closed = true;
    this.#request?.destroy();
  }

  #read(block: string): void {
    if (!/^event: done$/m.test(block)) return;
    const { turn } = JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? "{}") as { turn: number };
    this.turn = Math.max(this.turn, turn);
  }
}

export class Crowd {
  readonly #options: CrowdOptions;
  readonly #pages: readonly Page[];
  #programs: readonly Bus[] = [];
  #said = 0;

  constructor(options: CrowdOptions) {
    this.#options = options;
    this.#pages = Array.from({ length: options.pages }, (_, n) => new Page(`page-${n}`));
  }

  /** Resolves when all are connected. */
  async open(): Promise<void> {
    const { programs, natsUrl, gatewayUrl } = this.#options;
    const log = createLog({ level: "fatal" });
    await inTurn(this.#pages, (page) => page.open(gatewayUrl));
    const buses: Bus[] = [];
    await inTurn(
      Array.from({ length: programs }, (_, n) => n),
      async (n) => void buses.push(await connectTo(natsUrl, `program-${n}`, log)),
    );
    this.#programs = buses;
  }

  /** Streams that a gateway ended, of all pages. */
  get dropped(): number {
    return this.#pages.reduce((sum, { dropped }) => sum + dropped, 0);
  }

  /** Everybody says something; resolves when each has its answer, the pages over the streams that they hold open. */
  async speak(): Promise<void> {
    const turn = ++this.#said;
    await Promise.all([
      inTurn(this.#pages, (page) => this.#send(page.session, `m${turn}`)),
      inTurn(
        this.#programs.map((bus, n) => ({ bus, n })),
        ({ bus, n }) => ask(bus, `program-${n}`, `p${turn}`),
      ),
    ]);
    await waitUntil(() => this.#pages.every((page) => page.turn >= turn), {
      timeoutMs: PATIENCE_MS,
      what: `the answers to message ${turn} of every page`,
    });
  }

  async #send(session: string, id: string): Promise<void> {
    const { gatewayUrl, recorder } = this.#options;
    const ref = { tenant: TENANT, session };
    const text = `${markerOf(TENANT, session, id)} hello`;
    for (;;) {
      recorder.add({ type: "invoke", ...ref, message: id, text, at: Date.now() });
      const response = await fetch(`${gatewayUrl}/v1/conversations/${session}/messages`, {
        method: "POST",
        headers: {
          authorization: AUTHORIZATION,
          "content-type": "application/json",
          prefer: "respond-async",
        },
        body: JSON.stringify({ id, text }),
      }).catch(() => undefined);
      await response?.arrayBuffer();
      const stored = response?.status === 202;
      recorder.add({ type: stored ? "ok" : "unknown", ...ref, message: id, at: Date.now() });
      if (stored) return;
      await pause(RETRY_MS);
    }
  }

  async close(): Promise<void> {
    for (const page of this.#pages) page.close();
    await Promise.all(this.#programs.map((bus) => bus.close().catch(() => {})));
  }
}

async function ask(bus: Bus, key: string, name: string): Promise<void> {
  const to = { kind: "tally", tenant: TENANT, key };
  for (;;) {
    try {
      await askActor(bus, systemClock, to, "add", { name }, ASK_MS, { id: name });
      return;
    } catch {
      await pause(RETRY_MS);
    }
  }
}

/** A few at a time, until all are through. */
async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, worker));
}
