// People who write to a bot: many sessions of several tenants, each sending at its own pace, now and then several
// messages at once, and repeating under the same id what they cannot know to be stored.
import { JetclawError } from "#contracts/errors.ts";
import { CONVERSATION, type UserMessage } from "#contracts/turn.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { markerOf, type SessionRef } from "./history.ts";
import type { Random } from "./random.ts";
import type { Recorder } from "./recorder.ts";
import { pause } from "./wait.ts";

export interface LoadOptions {
  readonly bus: () => Bus;
  readonly recorder: Recorder;
  readonly random: Random;
  readonly tenants: number;
  /** In all; every tenant has sessions of the same names, so that a mix-up of tenants shows. */
  readonly sessions: number;
  /** Messages a second, of all sessions together. */
  readonly perSecond: number;
  /** Whether people repeat what was acknowledged; what is unknown is repeated in any case. Default true. */
  readonly repeats?: boolean;
}

/** Shorter than a server's restart, so that outcomes become unknown and repeats happen. */
const APPEND_LIMIT_MS = 2_000;
const RETRY_MS = 150;
const REMEMBERED = 20;

export class Load {
  readonly #options: LoadOptions;
  readonly #sessions: Promise<void>[] = [];
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    const { tenants, sessions, random } = this.#options;
    for (let n = 0; n < sessions; n++) {
      const ref = { tenant: `tenant-${n % tenants}`, session: `session-${Math.floor(n / tenants)}` };
      this.#sessions.push(this.#converse(ref, random.fork(`${ref.tenant}/${ref.session}`)));
    }
  }

  /** Stops asking; resolves when the outcome of everything asked is known. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#sessions);
  }

  async #converse(ref: SessionRef, random: Random): Promise<void> {
    const { sessions, perSecond, repeats = true } = this.#options;
    const meanMs = (sessions / perSecond) * 1_000 * MESSAGES_A_ROUND;
    const sent: string[] = [];
    let count = 0;
    const next = (): string => {
      const id = `m${++count}`;
      sent.push(id);
      if (sent.length > REMEMBERED) sent.shift();
      return id;
    };
    await pause(random.next() * meanMs);
    while (!this.#stopped) {
      const draw = random.int(1, 100);
      if (draw <= 70 || (draw > 92 && !repeats)) await this.#send(ref, next());
      else if (draw <= 85) for (let n = random.int(2, 3); n > 0; n--) await this.#send(ref, next());
      else if (draw <= 92) await Promise.all([this.#send(ref, next()), this.#send(ref, next())]);
      // A client that never saw the acknowledgement, and a web hook that comes again much later.
      else if (draw <= 97) await this.#sendTwice(ref, next());
      else if (sent.length > 0) await this.#send(ref, random.pick(sent));
      await pause(-Math.log(1 - random.next()) * meanMs);
    }
  }

  async #sendTwice(ref: SessionRef, id: string): Promise<void> {
    await this.#send(ref, id);
    await this.#send(ref, id);
  }

  /** Resolves when the message is stored; what is unknown is asked again under the same id. */
  async #send(ref: SessionRef, id: string): Promise<void> {
    const { recorder, bus } = this.#options;
    const text = `${markerOf(ref.tenant, ref.session, id)} hello`;
    for (;;) {
      const body: UserMessage = { parts: [{ type: "text", text }], channel: "web" };
      recorder.add({ type: "invoke", ...ref, message: id, text, at: Date.now() });
      try {
        const { tenant, session } = ref;
        await sendToActor(
          bus(),
          { id, tenant, kind: CONVERSATION, key: session, type: "user", body, at: Date.now() },
          APPEND_LIMIT_MS,
        );
        recorder.add({ type: "ok", ...ref, message: id, at: Date.now() });
        return;
      } catch (error) {
        const refused = error instanceof JetclawError && error.retry === "never";
        recorder.add({ type: refused ? "fail" : "unknown", ...ref, message: id, at: Date.now() });
        if (refused) return;
        await pause(RETRY_MS);
      }
    }
  }
}

/** What a round of `#converse` sends on average. */
const MESSAGES_A_ROUND = 0.7 * 1 + 0.15 * 2.5 + 0.07 * 2 + 0.05 * 2 + 0.03 * 1;
