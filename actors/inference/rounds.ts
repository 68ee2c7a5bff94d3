/** When a worker looks after a model's batches: soon after a bell, every second while there are any, seldom otherwise. */
import { untilPulse } from "#runtime/pulse.ts";

const ROUND_MS = 1_000;
const IDLE_MS = 4_000;
/** A bell brings the next round near, however many ring. */
const SOON_MS = 250;

export class Rounds {
  readonly #round: () => Promise<boolean>;
  #timer: NodeJS.Timeout | undefined;
  #at = 0;
  #running: Promise<void> | undefined;
  #stopped = false;

  /** @param round never rejects, and tells whether there is anything to look after. The first one begins at once */
  constructor(round: () => Promise<boolean>) {
    this.#round = round;
    this.#in(0);
  }

  soon(): void {
    if (this.#at - Date.now() > SOON_MS) this.#in(SOON_MS);
  }

  /** Resolves when the round that runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #in(ms: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#at = Date.now() + ms;
    this.#timer = setTimeout(() => {
      this.#running = this.#round().then((isBusy) => this.#in(isBusy ? ROUND_MS : untilPulse(IDLE_MS)));
    }, ms);
  }
}
