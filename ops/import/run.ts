/**
 * An import: many documents under way at once, what is stored already left alone, what is wrong named and passed over.
 * Repeating it is safe at any point.
 */
import type { CloudEvent } from "#contracts/cloudevent.ts";
import { contentHash, type DocumentInput } from "#contracts/knowledge.ts";
import { LIMITS } from "#contracts/limits.ts";
import { documentOf, itemsOf } from "./files.ts";
import { holdsLines, type Item, isImported, Refused, type SourceFile } from "./format.ts";

/** The collection as an import sees it. Whatever is thrown but `Refused` ends the import. */
export interface ImportTarget {
  /** The hash and locale of every document by its id. */
  known(): Promise<Map<string, { readonly hash: string; readonly locale?: string | undefined }>>;
  put(document: string, input: DocumentInput): Promise<{ readonly revision: number }>;
  remove(document: string): Promise<{ readonly revision: number }>;
  /** In this order. */
  tell(
    events: readonly CloudEvent[],
  ): Promise<readonly { readonly outcome: string; readonly revision: number }[]>;
}

export interface ImportOptions {
  readonly files: readonly SourceFile[];
  /** Of documents that do not say theirs. */
  readonly locale?: string | undefined;
  /** Removes documents of the collection that the files do not hold. */
  readonly prune: boolean;
  /** Says what would be done and does nothing. */
  readonly dryRun: boolean;
  readonly inFlight: number;
  /** Aborted: what is under way is finished, nothing more is begun. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ImportProgress) => void;
}

export interface ImportProgress {
  /** Share of the bytes that have been read, 0 to 1. */
  readonly share: number;
  readonly stored: number;
  readonly unchanged: number;
  readonly broken: number;
}

export interface ImportReport {
  /** Written, or with `dryRun` to be written. */
  readonly stored: readonly string[];
  readonly unchanged: number;
  readonly removed: readonly string[];
  /** Events by what became of them. */
  readonly events: Readonly<Record<string, number>>;
  readonly broken: readonly Broken[];
  readonly interrupted: boolean;
  /** Why nothing was pruned although it was asked for. */
  readonly notPruned?: string | undefined;
  /** The highest revision that the import made or met; 0 when none. */
  readonly revision: number;
}

export interface Broken {
  readonly where: string;
  readonly reason: string;
  /** The document that it was before: the collection has it still, with its former text. */
  readonly former?: string;
}

/** Events that travel in one request, and their bytes as they stand in the file. */
const EVENTS_AT_ONCE = 100;
const EVENT_BYTES = LIMITS.bodyBytes / 2;

export async function runImport(target: ImportTarget, options: ImportOptions): Promise<ImportReport> {
  return await new Import(target, options).run();
}

class Import {
  readonly #target: ImportTarget;
  readonly #options: ImportOptions;
  readonly #flight: Flight;
  readonly #stored: string[] = [];
  readonly #removed: string[] = [];
  readonly #events: Record<string, number> = {};
  readonly #broken: Broken[] = [];
  /** Where each document of this import comes from. */
  readonly #sources = new Map<string, string>();
  #known: Awaited<ReturnType<ImportTarget["known"]>> = new Map();
  #told: Extract<Item, { kind: "event" }>[] = [];
  #toldBytes = 0;
  /** Documents that events speak of: what becomes of them is what the events say. */
  readonly #spokenOf = new Set<string>();
  #unchanged = 0;
  #revision = 0;
  /** Documents of broken lines and below lost links have no known id: one of them might be what would be pruned. */
  #anonymous = 0;

  constructor(target: ImportTarget, options: ImportOptions) {
    this.#target = target;
    this.#options = options;
    this.#flight = new Flight(options.inFlight);
  }

  async run(): Promise<ImportReport> {
    const { files, signal, prune } = this.#options;
    this.#known = await this.#target.known();
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0) || 1;
    let read = 0;
    try {
      for (const file of files) {
        for await (const item of itemsOf(file, this.#options.locale)) {
          if (signal.aborted) break;
          await this.#take(file, item);
          this.#report(Math.min(1, (read + item.bytes) / total));
          if (holdsLines(file.name)) read += item.bytes;
        }
        if (signal.aborted) break;
        await this.#tell();
        if (!holdsLines(file.name)) read += file.bytes;
      }
    } finally {
      await this.#flight.settled();
    }
    this.#flight.rethrow();
    const notPruned = prune ? await this.#prune() : undefined;
    this.#report(1);
    return {
      stored: this.#stored.sort(),
      unchanged: this.#unchanged,
      removed: this.#removed.sort(),
      events: this.#events,
      broken: this.#broken,
      interrupted: signal.aborted,
      notPruned,
      revision: this.#revision,
    };
  }

  async #take(file: SourceFile, item: Item): Promise<void> {
    switch (item.kind) {
      case "broken": {
        const { where, reason } = item;
        if (holdsLines(file.name) || !isImported(file.name)) {
          this.#anonymous++;
          this.#broken.push({ where, reason });
          return;
        }
        const document = documentOf(file.name);
        this.#broken.push({
          where,
          reason,
          ...(this.#sources.has(document) ? {} : this.#formerOf(document)),
        });
        this.#sources.set(document, file.name);
        return;
      }
      case "event": {
        if (this.#told.length === EVENTS_AT_ONCE || this.#toldBytes + item.bytes > EVENT_BYTES)
          await this.#tell();
        this.#told.push(item);
        this.#toldBytes += item.bytes;
        this.#spokenOf.add(item.document);
        return;
      }
      case "document":
        return await this.#document(item.where, item.document, item.input);
    }
  }

  async #document(where: string, document: string, given: DocumentInput): Promise<void> {
    const other = this.#sources.get(document);
    if (other !== undefined) {
      this.#broken.push({ where, reason: `would be the document ${document}, which ${other} is already` });
      return;
    }
    this.#sources.set(document, where);
    const { locale } = this.#options;
    const input = given.locale === undefined && locale !== undefined ? { ...given, locale } : given;
    const known = this.#known.get(document);
    if (known?.hash === contentHash(input) && (input.locale === undefined || input.locale === known.locale)) {
      this.#unchanged++;
      return;
    }
    if (this.#options.dryRun) {
      this.#stored.push(document);
      return;
    }
    await this.#flight.start(async () => {
      const put = (): Promise<{ revision: number }> => this.#target.put(document, input);
      const done = await this.#unlessRefused(where, put, this.#formerOf(document));
      if (done) this.#stored.push(document);
    });
  }

  async #tell(): Promise<void> {
    const told = this.#told;
    this.#told = [];
    this.#toldBytes = 0;
    const [first, last] = [told[0], told.at(-1)];
    if (!first || !last) return;
    const count = (outcome: string): void => {
      this.#events[outcome] = (this.#events[outcome] ?? 0) + 1;
    };
    if (this.#options.dryRun) {
      for (const _ of told) count("read");
      return;
    }
    const where = first === last ? first.where : `${first.where} to ${last.where}`;
    await this.#unlessRefused(where, async () => {
      const outcomes = await this.#target.tell(told.map(({ event }) => event));
      for (const { outcome, revision } of outcomes) {
        count(outcome);
        this.#revision = Math.max(this.#revision, revision);
      }
      return { revision: 0 };
    });
  }

  /** @returns why nothing was pruned */
  async #prune(): Promise<string | undefined> {
    if (this.#options.signal.aborted) return "the import was interrupted";
    if (this.#anonymous > 0)
      return "lines that cannot be read, or what links that lead nowhere have led to, may be documents of the collection";
    for (const document of this.#known.keys()) {
      if (this.#sources.has(document) || this.#spokenOf.has(document)) continue;
      if (this.#options.signal.aborted) break;
      if (this.#options.dryRun) this.#removed.push(document);
      else
        await this.#flight.start(async () => {
          if (await this.#unlessRefused(document, () => this.#target.remove(document)))
            this.#removed.push(document);
        });
    }
    await this.#flight.settled();
    this.#flight.rethrow();
    return undefined;
  }

  #formerOf(document: string): Pick<Broken, "former"> {
    return this.#known.has(document) ? { former: document } : {};
  }

  async #unlessRefused(
    where: string,
    change: () => Promise<{ revision: number }>,
    former: Pick<Broken, "former"> = {},
  ): Promise<boolean> {
    try {
      this.#revision = Math.max(this.#revision, (await change()).revision);
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#broken.push({ where, reason: error.message, ...former });
      return false;
    }
  }

  #report(share: number): void {
    const { length: stored } = this.#stored;
    this.#options.onProgress({ share, stored, unchanged: this.#unchanged, broken: this.#broken.length });
  }
}

/** So many at once; the first failure is kept and nothing is started after it. */
class Flight {
  readonly #most: number;
  readonly #under = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  async start(task: () => Promise<void>): Promise<void> {
    while (this.#under.size >= this.#most) await Promise.race(this.#under);
    this.rethrow();
    const running: Promise<void> = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#under.delete(running));
    this.#under.add(running);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#under);
  }

  rethrow(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
