/**
 * What a server remembers of prompts it has read: the hashes of their prefixes, message by message, the least recently
 * used forgotten first. Real servers remember blocks of tokens; whole messages show the same effect where a
 * conversation only grows.
 */
import { createHash } from "node:crypto";
import type { ChatMessage } from "./answer.ts";

export class PrefixCache {
  readonly #known = new Set<string>();

  /** How many messages of the beginning this server has read before, this model. */
  cachedMessages(model: string, messages: readonly ChatMessage[]): number {
    const unknown = prefixesOf(model, messages).findIndex((hash) => !this.#known.has(hash));
    return unknown < 0 ? messages.length : unknown;
  }

  /** From now on these messages cost nothing here. */
  remember(model: string, messages: readonly ChatMessage[], most: number): void {
    // The longest first: what is forgotten first is then a leaf, and nothing stays that has lost its beginning.
    for (const hash of prefixesOf(model, messages).reverse()) {
      this.#known.delete(hash);
      this.#known.add(hash);
    }
    for (const hash of this.#known) {
      if (this.#known.size <= most) break;
      this.#known.delete(hash);
    }
  }
}

/** One hash a prefix: each covers the one before it. */
function prefixesOf(model: string, messages: readonly ChatMessage[]): string[] {
  let before = model;
  return messages.map(({ role, content }) => {
    before = createHash("sha256")
      .update(JSON.stringify([before, role, content]))
      .digest("base64");
    return before;
  });
}
