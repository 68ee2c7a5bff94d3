/**
 * Tells a client whose server was cut off from the majority. Such a server greets, answers reads and holds requests open
 * as ever, so whoever only waits for work would stay with it. Of all clients of a cluster one says about once a second
 * that there is a majority: an append of its own was acknowledged a moment ago, or it has asked the servers. Who hears
 * nothing asks them by itself.
 */
export interface QuorumOptions {
  /** When this client last knew that its server belongs to the majority, ms of the clock that never jumps. */
  readonly provenAt: () => number;
  /** Tells all clients, this one too. */
  readonly say: () => void;
  /** Asks the servers, and moves the client where too few answer. Never rejects. */
  readonly ask: () => Promise<void>;
}

/** Who has heard nothing for so long and up to half as much more, drawn anew each time, is the next to speak. */
const PATIENCE_MS = 1_000;
/** An append that was acknowledged, or an answer, proves something for so long. */
const FRESH_MS = 500;

export class Quorum {
  readonly #options: QuorumOptions;
  #heardAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: QuorumOptions) {
    this.#options = options;
    this.#begin();
  }

  /** Somebody has said it. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #begin(): void {
    const patienceMs = PATIENCE_MS * (1 + Math.random() / 2);
    this.#wait(patienceMs, patienceMs);
  }

  #wait(ms: number, patienceMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#look(patienceMs), ms);
    this.#timer.unref();
  }

  async #look(patienceMs: number): Promise<void> {
    const { provenAt, say, ask } = this.#options;
    const quietMs = performance.now() - this.#heardAt;
    if (quietMs < patienceMs) return this.#wait(patienceMs - quietMs, patienceMs);
    const fresh = (): boolean => performance.now() - provenAt() < FRESH_MS;
    if (!fresh()) await ask();
    if (fresh()) say();
    this.#heardAt = performance.now();
    this.#begin();
  }
}
