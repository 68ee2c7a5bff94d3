/**
 * Asks all servers of a cluster to answer, whatever they store and lead: a client whose server is cut off from the others
 * hears that one alone. Appends and reads cannot tell: what a server that is cut off has led has no leader for seconds,
 * and a client of the others would take its own server for the one that is alone.
 */
import type { NatsConnection } from "@nats-io/transport-node";

/** Every server of the cluster answers for the account of who asks. */
const ASK_SUBJECT = "$SYS.REQ.ACCOUNT.PING.STATZ";
const QUESTION = new TextEncoder().encode(JSON.stringify({ include_unused: true }));
/** One question may be lost with whatever keeps a server or this process busy; two are not. */
const QUESTIONS = 2;
const ANSWER_MS = 1_000;

export class Majority {
  readonly #nc: NatsConnection;
  readonly #inbox: string;
  /** Servers that answered the last question. */
  readonly #answered = new Set<string>();
  /** The most that ever did. */
  #known = 0;
  #enough: () => void = () => {};

  constructor(nc: NatsConnection, inbox: string) {
    this.#nc = nc;
    this.#inbox = inbox;
    nc.subscribe(inbox, { callback: (error, message) => void (error ?? this.#hear(message.data)) });
    // How many there are is learned while all is well.
    this.#ask();
  }

  /** False when less than half of the servers that were ever heard of answer, and it was twice asked. Never rejects. */
  async isHeard(): Promise<boolean> {
    for (let tried = 0; tried < QUESTIONS; tried++) {
      const heard = new Promise<void>((resolve) => {
        this.#enough = resolve;
      });
      this.#ask();
      await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, ANSWER_MS).unref())]);
      // After a standstill the timer comes first: what has arrived meanwhile is read before it is judged.
      await new Promise((next) => setImmediate(() => setImmediate(next)));
      if (this.#isMajority) return true;
    }
    // Who has never heard of a second server cannot tell.
    return this.#known < 2;
  }

  get #isMajority(): boolean {
    return this.#known > 1 && this.#answered.size > this.#known / 2;
  }

  #ask(): void {
    this.#answered.clear();
    if (!this.#nc.isClosed() && !this.#nc.isDraining())
      this.#nc.publish(ASK_SUBJECT, QUESTION, { reply: this.#inbox });
  }

  #hear(data: Uint8Array): void {
    const name = serverOf(data);
    if (name === undefined) return;
    this.#answered.add(name);
    this.#known = Math.max(this.#known, this.#answered.size);
    if (this.#isMajority) this.#enough();
  }
}

/** Whose answer it is; undefined where nobody answers such questions. */
function serverOf(data: Uint8Array): string | undefined {
  if (data.length === 0) return undefined;
  const { server } = JSON.parse(new TextDecoder().decode(data)) as { server?: { id?: string } };
  return server?.id;
}
