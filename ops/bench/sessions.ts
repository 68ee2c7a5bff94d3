/** Sessions that take turns: each has at most one turn open, and ends after a few, as conversations do. */

export interface SessionTurn {
  readonly session: string;
  readonly turn: number;
  readonly last: boolean;
}

export class Sessions {
  readonly #free: { session: string; turns: number }[] = [];
  readonly #waiting = new Map<string, () => void>();
  readonly #turnsPerSession: number;
  readonly #prefix: string;
  #made = 0;

  constructor(count: number, turnsPerSession: number, prefix: string) {
    this.#turnsPerSession = turnsPerSession;
    this.#prefix = prefix;
    for (let i = 0; i < count; i++) this.#free.push(this.#fresh());
  }

  #fresh(): { session: string; turns: number } {
    return { session: `${this.#prefix}${(this.#made++).toString(36)}`, turns: 0 };
  }

  get open(): number {
    return this.#waiting.size;
  }

  /** Sends a turn of the session that waited longest and resolves when `answered` names it. */
  async run(send: (turn: SessionTurn) => Promise<unknown>): Promise<void> {
    const taken = this.#free.shift() ?? this.#fresh();
    taken.turns++;
    const answered = new Promise<void>((resolve) => {
      this.#waiting.set(taken.session, resolve);
    });
    await send({ session: taken.session, turn: taken.turns, last: taken.turns === this.#turnsPerSession });
    await answered;
    this.#free.push(taken.turns >= this.#turnsPerSession ? this.#fresh() : taken);
  }

  answered(session: string): void {
    const resolve = this.#waiting.get(session);
    this.#waiting.delete(session);
    resolve?.();
  }
}
