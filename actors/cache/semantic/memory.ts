/** The semantic cache: entries by scope, and a verifier by tenant, assistant and language. */
import { type Reading, read, refusals, type Slot, type SlotReader, slotReader } from "./guards.ts";
import { featuresOf, LexicalIndex } from "./lexical-index.ts";
import { Lexicon } from "./lexicon.ts";
import { measure, type Near, restOf, votesOf } from "./measures.ts";
import type {
  Candidate,
  DocumentRef,
  Evidence,
  MissReason,
  Outcome,
  Question,
  Scope,
  SemanticCache,
  SemanticEntry,
  Trial,
  Verdict,
} from "./port.ts";
import { VectorIndex } from "./vector-index.ts";
import { Verifier } from "./verifier.ts";

export interface SemanticOptions {
  /** Wrong answers that the operator accepts, as a share of hits. */
  readonly errorBound?: number;
  /** Share of hits that are checked against the model. */
  readonly checkShare?: number;
  readonly seed?: number;
  /** Values that a tenant declares for an assistant. */
  readonly slots?: (tenant: string, assistant: string) => readonly Slot[];
}

/** Candidates that are looked at, of each kind of nearness. */
const NEAR = 24;
/** Nearer than this is near at all. */
const LEAST = 0.25;
const SHOWN = 8;
const READINGS = 4_000;
const LEAST_LESSONS = 30;

interface Shelf {
  readonly items: (SemanticEntry | undefined)[];
  readonly rests: string[];
  readonly lexical: LexicalIndex;
  readonly vectors: VectorIndex;
  readonly lexicon: Lexicon;
  /** Those lately compared. */
  readonly readings: Map<number, Reading>;
}

export function createSemanticCache(options: SemanticOptions = {}): SemanticCache {
  return new Memory(options);
}

class Memory implements SemanticCache {
  readonly #entries = new Map<string, { entry: SemanticEntry; item: number }>();
  readonly #shelves = new Map<string, Shelf>();
  readonly #verifiers = new Map<string, Verifier>();
  readonly #records = new Map<string, { agreed: number; differed: number }>();
  readonly #slots = new Map<string, SlotReader>();
  readonly #options: Required<SemanticOptions>;
  #draws: number;

  constructor({ errorBound = 0.01, checkShare = 0.02, seed = 1, slots = () => [] }: SemanticOptions) {
    this.#options = { errorBound, checkShare, seed, slots };
    this.#draws = seed;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): SemanticEntry | undefined {
    return this.#entries.get(id)?.entry;
  }

  *entries(): IterableIterator<SemanticEntry> {
    for (const { entry } of this.#entries.values()) yield entry;
  }

  lookup(question: Question): Verdict {
    const shelf = this.#shelves.get(keyOf(question.scope));
    const near = shelf ? this.#near(shelf, question) : [];
    const verifier = this.#verifierOf(question);
    const nothing: Evidence = { candidates: [], confidence: 0, threshold: 1, lessons: verifier.lessons };
    if (!shelf || near.length === 0) return { kind: "miss", reason: "nothing-near", evidence: nothing };
    const asked = this.#read(question);
    const refusedOf = (one: Near): string[] =>
      one.rest === "" ? ["rests on nothing"] : refusals(asked, this.#readAt(shelf, one), shelf.lexicon);
    const shown = near.slice(0, SHOWN).map(
      (one): Candidate => ({
        entry: one.entry.id,
        text: one.entry.text,
        documents: one.entry.documents,
        cosine: one.cosine,
        lexical: one.lexical,
        refused: refusedOf(one),
      }),
    );
    const rest = votesOf(near).find((vote) => vote.rest !== "")?.rest;
    const miss = (reason: MissReason, evidence: Partial<Evidence> = {}): Verdict => ({
      kind: "miss",
      reason,
      evidence: { ...nothing, candidates: shown, ...evidence },
    });
    if (rest === undefined) return miss("ungrounded");
    const weighed = near.find((one) => one.rest === rest && refusedOf(one).length === 0);
    const chosen = weighed ?? near.find((one) => one.rest === rest);
    if (!chosen) return miss("nothing-near");
    const records = {
      entry: (id: string) => this.#record(`e ${id}`),
      rest: (of: string) => this.#record(`r ${keyOf(question.scope)} ${of}`),
    };
    const features = measure(chosen, near, records, knownShare(asked, shelf), question.found);
    const confidence = verifier.confidence(features);
    const threshold = 1 - 4 * this.#options.errorBound;
    const evidence: Evidence = {
      candidates: shown,
      weighed: chosen.entry.id,
      features,
      confidence,
      threshold,
      lessons: verifier.lessons,
    };
    if (!weighed) return miss("guarded", evidence);
    if (verifier.lessons < LEAST_LESSONS) return miss("learning", evidence);
    if (confidence < threshold) return miss("unsure", evidence);
    const kind = this.#draw() < this.#options.checkShare ? "check" : "serve";
    return { kind, entry: chosen.entry, evidence };
  }

  learn(question: Question, outcome: Outcome, verdict: Verdict): SemanticEntry {
    const { weighed, features } = verdict.evidence;
    const tried = weighed === undefined ? undefined : this.get(weighed);
    const trial: Trial | undefined =
      tried && features
        ? {
            entry: tried.id,
            features,
            agreed: restOf(tried.documents) === restOf(outcome.documents),
            weight: 1,
          }
        : undefined;
    const { scope, text, vector } = question;
    const { id, documents, session } = outcome;
    const entry: SemanticEntry = { v: 1, id, scope, text, vector, documents, session, trial };
    this.add(entry);
    return entry;
  }

  add(entry: SemanticEntry): boolean {
    if (this.#entries.has(entry.id)) return false;
    const shelf = this.#shelfOf(entry.scope);
    const item = shelf.items.push(entry) - 1;
    shelf.rests[item] = restOf(entry.documents);
    const { words } = this.#read(entry);
    shelf.lexical.add(item, featuresOf(words, languageOf(entry.scope)));
    if (entry.vector) shelf.vectors.add(item, entry.vector);
    shelf.lexicon.count(words, 1);
    this.#entries.set(entry.id, { entry, item });
    if (entry.trial) {
      this.#verifierOf(entry).learn(entry.trial);
      this.#count(entry, entry.trial, 1);
    }
    return true;
  }

  remove(id: string): boolean {
    const held = this.#entries.get(id);
    if (!held) return false;
    const { entry, item } = held;
    this.#entries.delete(id);
    const shelf = this.#shelfOf(entry.scope);
    shelf.items[item] = undefined;
    shelf.lexical.remove(item);
    shelf.vectors.remove(item);
    shelf.lexicon.count(this.#read(entry).words, -1);
    if (entry.trial) {
      this.#verifierOf(entry).forget(entry.trial);
      this.#count(entry, entry.trial, -1);
    }
    return true;
  }

  removeDocument(tenant: string, { collection, document }: DocumentRef, revision?: number): string[] {
    return this.#removeWhere(tenant, (entry) =>
      entry.documents.some(
        (on) => on.collection === collection && on.document === document && on.revision !== revision,
      ),
    );
  }

  removeSession(tenant: string, session: string): string[] {
    return this.#removeWhere(tenant, (entry) => entry.session === session);
  }

  removeNear(tenant: string, text: string, vector?: Float32Array): string[] {
    const ids: string[] = [];
    for (const shelf of this.#shelves.values()) {
      const scope = shelf.items.find((entry) => entry !== undefined)?.scope;
      if (scope?.tenant !== tenant) continue;
      for (const { item } of this.#near(shelf, { scope, text, vector })) {
        const entry = shelf.items[item];
        if (entry) ids.push(entry.id);
      }
    }
    for (const id of ids) this.remove(id);
    return ids;
  }

  #removeWhere(tenant: string, where: (entry: SemanticEntry) => boolean): string[] {
    const ids = [...this.#entries.values()]
      .filter(({ entry }) => entry.scope.tenant === tenant && where(entry))
      .map(({ entry }) => entry.id);
    for (const id of ids) this.remove(id);
    return ids;
  }

  #near(shelf: Shelf, { scope, text, vector }: Question): Near[] {
    const prepared = shelf.lexical.prepare(featuresOf(this.#read({ scope, text }).words, languageOf(scope)));
    const found = new Set(shelf.lexical.search(prepared, NEAR).map(({ item }) => item));
    if (vector) for (const { item } of shelf.vectors.search(vector, NEAR)) found.add(item);
    const items = [...found];
    const lexicals = shelf.lexical.similarities(prepared, items);
    const near: Near[] = [];
    for (const [n, item] of items.entries()) {
      const entry = shelf.items[item];
      if (!entry) continue;
      const lexical = lexicals[n] ?? 0;
      const cosine = vector ? shelf.vectors.similarity(vector, item) : undefined;
      const score = cosine === undefined ? lexical : 0.7 * cosine + 0.3 * lexical;
      if (score >= LEAST) near.push({ item, entry, rest: shelf.rests[item] ?? "", cosine, lexical, score });
    }
    return near.sort((a, b) => b.score - a.score || a.item - b.item);
  }

  #readAt(shelf: Shelf, { item, entry }: Near): Reading {
    let reading = shelf.readings.get(item);
    if (!reading) {
      if (shelf.readings.size >= READINGS) shelf.readings.clear();
      reading = this.#read(entry);
      shelf.readings.set(item, reading);
    }
    return reading;
  }

  #read({ scope, text }: Pick<Question, "scope" | "text">): Reading {
    const key = JSON.stringify([scope.tenant, scope.assistant]);
    let slots = this.#slots.get(key);
    if (!slots) {
      slots = slotReader(this.#options.slots(scope.tenant, scope.assistant));
      this.#slots.set(key, slots);
    }
    return read(text, slots);
  }

  #shelfOf(scope: Scope): Shelf {
    const key = keyOf(scope);
    let shelf = this.#shelves.get(key);
    if (!shelf) {
      shelf = {
        items: [],
        rests: [],
        lexical: new LexicalIndex(),
        vectors: new VectorIndex(),
        lexicon: new Lexicon(),
        readings: new Map(),
      };
      this.#shelves.set(key, shelf);
    }
    return shelf;
  }

  #verifierOf({ scope, vector }: Pick<Question, "scope" | "vector">): Verifier {
    const key = JSON.stringify([scope.tenant, scope.assistant, languageOf(scope), vector !== undefined]);
    let verifier = this.#verifiers.get(key);
    if (!verifier) {
      verifier = new Verifier({ prior: vector ? VECTOR_PRIOR : LEXICAL_PRIOR, strength: 0.3 });
      this.#verifiers.set(key, verifier);
    }
    return verifier;
  }

  #record(key: string): number {
    const { agreed, differed } = this.#records.get(key) ?? { agreed: 0, differed: 0 };
    return (agreed + 1) / (agreed + differed + 2);
  }

  #count(entry: SemanticEntry, { entry: tried, agreed }: Trial, by: 1 | -1): void {
    const rest = restOf(this.get(tried)?.documents ?? []);
    for (const key of [`e ${tried}`, `r ${keyOf(entry.scope)} ${rest}`]) {
      const record = this.#records.get(key) ?? { agreed: 0, differed: 0 };
      if (agreed) record.agreed += by;
      else record.differed += by;
      this.#records.set(key, record);
    }
  }

  /** Source: mulberry32, public domain. */
  #draw(): number {
    this.#draws = (this.#draws + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#draws ^ (this.#draws >>> 15), this.#draws | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

const VECTOR_PRIOR = [-9, 6, 4, 2, 1, 1, 1, 3, 1, 1, 1, 0.5, 1];
const LEXICAL_PRIOR = [-7, 0, 0, 0, 5, 3, 2, 3, 1, 1, 1, 0.5, 1];

const keyOf = ({ tenant, assistant, assistantVersion, tier, locale }: Scope): string =>
  JSON.stringify([tenant, assistant, assistantVersion, tier, locale]);

const languageOf = ({ locale }: Scope): string => locale.toLowerCase().split(/[-_]/, 1)[0] ?? "";

function knownShare({ words }: Reading, shelf: Shelf): number {
  if (words.length === 0) return 0;
  return words.filter(({ text }) => shelf.lexical.count(`#<${text}>`.slice(0, 5)) > 0).length / words.length;
}
