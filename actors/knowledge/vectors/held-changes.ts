/**
 * Changes of KNOWLEDGE that are being worked on, and which of them are their document's last one no more: whoever has
 * waited long for embeddings need not embed those. Only the stream's headers are read for it, and what is missed of them
 * costs embeddings alone, as the newer change comes to somebody anyway.
 */
import { KNOWLEDGE, knowledgeFilter } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { keepFollowing } from "#runtime/nats/follow.ts";

interface Change {
  readonly subject: string;
  readonly seq: number;
}

export class HeldChanges {
  readonly #held = new Set<Change & { readonly replaced: AbortController }>();
  #following: { stop(): void } | undefined;

  follow(bus: Bus): void {
    this.#following = keepFollowing(bus, {
      stream: KNOWLEDGE,
      filter: knowledgeFilter(),
      from: "new",
      headersOnly: true,
      onMessage: (change) => this.#heard(change),
    });
  }

  /**
   * Works on a change until it is done or its document has another one.
   * @param work may rely on `replaced` to leave out what it has not begun
   */
  async hold({ subject, seq }: Change, work: (replaced: AbortSignal) => Promise<void>): Promise<void> {
    const held = { subject, seq, replaced: new AbortController() };
    const { signal } = held.replaced;
    this.#held.add(held);
    try {
      await work(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#held.delete(held);
    }
  }

  stop(): void {
    this.#following?.stop();
  }

  #heard({ subject, seq }: Change): void {
    for (const held of this.#held) if (held.subject === subject && held.seq < seq) held.replaced.abort();
  }
}
