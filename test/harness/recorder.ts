// Collects the history of a run and answers the few questions a running test asks of it.
import { type Committed, type Delivered, type HistoryEvent, nameOf, type SessionRef } from "./history.ts";

export class Recorder {
  readonly events: HistoryEvent[] = [];
  readonly #answered = new Map<string, Delivered>();
  readonly #revisions = new Map<string, number>();
  readonly #open = new Set<string>();

  add(event: Exclude<HistoryEvent, Committed | Delivered>): void {
    this.events.push(event);
    if (event.type === "invoke" && !this.#answered.has(keyOf(event, event.message)))
      this.#open.add(keyOf(event, event.message));
  }

  addRecord(record: Delivered): void {
    this.events.push(record);
    for (const { id } of record.messages) {
      this.#answered.set(keyOf(record, id), record);
      this.#open.delete(keyOf(record, id));
    }
  }

  /** A second observer reads revisions again that the first one saw; that is no news. */
  addCommit(commit: Committed): void {
    const name = nameOf(commit);
    if (this.#revisions.get(name) === commit.revision) return;
    this.#revisions.set(name, commit.revision);
    this.events.push(commit);
  }

  /** The turn that answers a message, as the channel got it. */
  answerTo(ref: SessionRef, message: string): Delivered | undefined {
    return this.#answered.get(keyOf(ref, message));
  }

  /** Messages that were sent and are not answered yet. */
  get unanswered(): number {
    return this.#open.size;
  }

  get answered(): number {
    return this.#answered.size;
  }
}

const keyOf = (ref: SessionRef, message: string): string => `${nameOf(ref)}/${message}`;
