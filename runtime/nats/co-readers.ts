/**
 * Who shares a durable reader with this process, and the certainty that one of them is gone. Nobody beats: each listens
 * on a subject of its own, and of a process that was killed the server knows at once that nobody listens there any more.
 * A process that is merely busy still listens, however late it answers.
 */
import { RequestError } from "@nats-io/transport-node";
import { decode, encode } from "#contracts/codec.ts";
import { CORE } from "#contracts/subjects.ts";
import { type Bus, NO_DATA, type Subscription } from "./connect.ts";

/**
 * Silence says nothing, so the next look asks again: what was asked of a process just before it was killed is never
 * answered, and only who asks after that is told. Less than from one look to the next, or every other one would be lost.
 */
const ASK_MS = 20;

interface Hello {
  readonly instance: string;
  /** Asks the others to say who they are. */
  readonly asks?: boolean;
  readonly leaves?: boolean;
}

export class CoReaders {
  readonly #bus: Bus;
  readonly #name: string;
  readonly #onLost: () => void;
  /** The older, the lower: who was there before a process came has heard of it, whoever came after its end has not. */
  readonly #instance = `${Date.now().toString(36).padStart(10, "0")}-${crypto.randomUUID()}`;
  readonly #others = new Set<string>();
  readonly #asking = new Set<string>();
  readonly #subscriptions: readonly Subscription[];

  /**
   * @param name of the durable reader
   * @param onLost one of them is gone, and this process is the one to do something about it: of those left, the oldest is
   */
  constructor(bus: Bus, name: string, onLost: () => void) {
    this.#bus = bus;
    this.#name = name;
    this.#onLost = onLost;
    this.#subscriptions = [
      bus.subscribe(CORE.reader(name, this.#instance), ({ data, respond }) => respond(data)),
      bus.subscribe(CORE.readers(name), ({ data }) => this.#hear(decode<Hello>(data))),
      bus.onReconnect(() => this.#say({ asks: true })),
    ];
    this.#say({ asks: true });
  }

  /** How many others are known to share the reader. */
  get others(): number {
    return this.#others.size;
  }

  /** Looks after the others; whoever answers late keeps nobody waiting. */
  look(): void {
    for (const other of this.#others) if (!this.#asking.has(other)) void this.#ask(other);
  }

  stop(): void {
    for (const subscription of this.#subscriptions) subscription.stop();
    this.#say({ leaves: true });
  }

  async #ask(other: string): Promise<void> {
    this.#asking.add(other);
    const gone = await this.#isGone(other);
    this.#asking.delete(other);
    // Whoever left by itself meanwhile has finished what it held.
    if (!gone || !this.#others.delete(other)) return;
    if ([...this.#others].every((each) => this.#instance < each)) this.#onLost();
  }

  async #isGone(other: string): Promise<boolean> {
    try {
      await this.#bus.nc.request(CORE.reader(this.#name, other), NO_DATA, { timeout: ASK_MS });
      return false;
    } catch (error) {
      return error instanceof RequestError && error.isNoResponders();
    }
  }

  #hear({ instance, asks, leaves }: Hello): void {
    if (instance === this.#instance) return;
    if (leaves) this.#others.delete(instance);
    else this.#others.add(instance);
    if (asks) this.#say({});
  }

  #say(rest: Omit<Hello, "instance">): void {
    if (this.#bus.connected)
      this.#bus.publish(CORE.readers(this.#name), encode({ instance: this.#instance, ...rest }));
  }
}
