/** The semantic cache: entries by scope, and what was learned by tenant, assistant and language. */
import { Bound } from "./bound.ts";
import { refusals, remarksOf, type Slot, type SlotReader, slotReader } from "./guards.ts";
import { measure, most, type Near, restOf } from "./measures.ts";
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
import { LEXICAL_PRIOR, VECTOR_PRIOR } from "./prior.ts";
import { LessonRecords } from "./records.ts";
import { type Probe, Shelf } from "./shelf.ts";
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

/** Candidates that the evidence shows. */
const SHOWN = 8;
/** Before so many lessons nothing is served. */
const LEAST_LESSONS = 30;
/** Lessons of one session that count: nobody decides alone what is served to others. */
const SESSION_LESSONS = 20;

/** What is learned of one language of an assistant, with vectors of one model or without, while there is an entry of it. */
interface Learner {
  entries: number;
  readonly verifier: Verifier;
  readonly bound: Bound;
  /** Lessons that count, by session. */
  readonly sessions: Map<string, number>;
}

interface Place {
  readonly entry: SemanticEntry;
  readonly shelf: Shelf;
  readonly item: number;
  /** The entry's lesson, where it counts. */
  readonly lesson: Lesson | undefined;
}

interface Lesson {
  readonly trial: Trial;
  /** What the candidate rested on when the lesson was counted: the candidate may go before the lesson does. */
  readonly rest: string;
}

export function createSemanticCache(options: SemanticOptions = {}): SemanticCache {
  return new Memory(options);
}

class Memory implements SemanticCache {
  readonly #entries = new Map<string, Place>();
  readonly #shelves = new Map<string, Shelf>();
  readonly #records = new Map<string, LessonRecords>();
  readonly #learners = new Map<string, Learner>();
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
    const probe = shelf?.probe(question.text, question.vector);
    // A question alone leaves nothing behind: whoever asks chooses the language.
    const learner = this.#learners.get(learnerKey(question));
    const known = {
      threshold: learner?.bound.threshold ?? 1 - this.#options.errorBound,
      lessons: learner?.verifier.lessons ?? 0,
    };
    const nothing: Evidence = { candidates: [], confidence: 0, ...known };
    if (!shelf || !probe || probe.near.length === 0)
      return { kind: "miss", reason: "nothing-near", evidence: nothing };
    const refused = guardsFor(shelf, probe);
    const seen = (facts: Partial<Evidence>): Evidence =>
      showing({ confidence: 0, ...facts, ...known }, probe.near, refused);
    const miss = (reason: MissReason, evidence: Evidence): Verdict => ({ kind: "miss", reason, evidence });
    const grounded = [...probe.fits].filter(([of]) => of !== "");
    const [rest] = most(grounded, ([, { share }]) => share) ?? [];
    const sharing = probe.near.filter((near) => near.rest === rest);
    const allowed = sharing.find((near) => isEmpty(refused(near)));
    const weighed = allowed ?? sharing[0];
    if (!weighed) return miss("ungrounded", seen({}));
    const features = measure(weighed, {
      near: probe.near,
      fits: probe.fits,
      records: this.#recordsOf(question.scope),
      found: question.found,
      remarks: remarksOf(probe.reading, shelf.readingOf(weighed), shelf.contextOf(weighed.rest)),
      novelty: probe.novelty,
      wordNovelty: probe.wordNovelty,
      doubt: probe.doubt,
      entries: shelf.size,
      length: probe.reading.words.length,
    });
    const { verifier, bound } = learner ?? this.#newLearner(question);
    const confidence = verifier.confidence(features);
    const evidence = seen({ weighed: weighed.entry.id, features, confidence });
    if (!allowed) return miss("guarded", evidence);
    bound.saw(confidence);
    if (verifier.lessons < LEAST_LESSONS) return miss("learning", evidence);
    if (confidence < known.threshold) return miss("unsure", evidence);
    const kind = this.#draw() < this.#checkShareAt(confidence) ? "check" : "serve";
    return { kind, entry: weighed.entry, evidence };
  }

  /**
   * Half of the checks are drawn from all hits alike, as also what seems sure may be wrong; half where errors are
   * expected. Where as many are expected as the operator accepts, the share of both together is the one that was set;
   * a share of one checks all.
   */
  #checkShareAt(confidence: number): number {
    const { checkShare, errorBound } = this.#options;
    const doubt = errorBound > 0 ? (1 - confidence) / errorBound : 1;
    return 1 - (1 - checkShare) ** ((1 + doubt) / 2);
  }

  learn(question: Question, outcome: Outcome, verdict: Verdict): SemanticEntry {
    const { scope, text, vector, space } = question;
    const { id, documents, session } = outcome;
    const trial = this.#trialOf(verdict, documents);
    const learner = this.#learnerOf(question);
    const isCheck = verdict.kind === "check";
    if (
      trial &&
      mayTeach(learner, session) &&
      (isCheck || verdict.kind !== "miss" || verdict.reason === "unsure")
    )
      learner.bound.learned(verdict.evidence.confidence, trial.agreed, isCheck);
    const entry: SemanticEntry = { v: 1, id, scope, text, vector, space, documents, session, trial };
    this.add(entry);
    learner.verifier.settle();
    return entry;
  }

  /** What a guard refused teaches nothing about what it lets pass. */
  #trialOf(verdict: Verdict, documents: readonly DocumentRef[]): Trial | undefined {
    const { weighed, features } = verdict.evidence;
    const tried = weighed === undefined ? undefined : this.get(weighed);
    if (!tried || !features || (verdict.kind === "miss" && verdict.reason === "guarded")) return undefined;
    return { entry: tried.id, features, agreed: restOf(tried.documents) === restOf(documents), weight: 1 };
  }

  add(entry: SemanticEntry): boolean {
    if (this.#entries.has(entry.id)) return false;
    const shelf = this.#shelfOf(entry.scope);
    const trial = this.#taught(entry);
    this.#learnerOf(entry).entries++;
    const lesson = trial && { trial, rest: this.#restOfTried(trial, entry) };
    this.#entries.set(entry.id, { entry, shelf, item: shelf.add(entry), lesson });
    if (lesson) this.#count(entry, lesson, 1);
    return true;
  }

  /** The lesson that the learner takes from the entry. */
  #taught(entry: SemanticEntry): Trial | undefined {
    const { trial, session } = entry;
    if (!trial) return undefined;
    const learner = this.#learnerOf(entry);
    if (!mayTeach(learner, session)) return undefined;
    countSession(learner, session, 1);
    learner.verifier.learn(trial);
    return trial;
  }

  remove(id: string): boolean {
    const place = this.#entries.get(id);
    if (!place) return false;
    const { entry, shelf, item, lesson } = place;
    this.#entries.delete(id);
    shelf.remove(item);
    const learner = this.#learnerOf(entry);
    if (lesson) {
      learner.verifier.forget(lesson.trial);
      countSession(learner, entry.session, -1);
      this.#count(entry, lesson, -1);
    }
    // Whoever asks chooses the language: of one that nobody asks in any more nothing stays.
    if (--learner.entries <= 0) this.#learners.delete(learnerKey(entry));
    if (shelf.size === 0) {
      const key = keyOf(entry.scope);
      this.#shelves.delete(key);
      this.#records.delete(key);
    }
    return true;
  }

  removeDocument(tenant: string, { collection, document }: DocumentRef, revision?: number): string[] {
    return this.#removeWhere(tenant, ({ documents }) =>
      documents.some(
        (on) => on.collection === collection && on.document === document && on.revision !== revision,
      ),
    );
  }

  removeSession(tenant: string, session: string): string[] {
    return this.#removeWhere(tenant, (entry) => entry.session === session);
  }

  #removeWhere(tenant: string, where: (entry: SemanticEntry) => boolean): string[] {
    const ids: string[] = [];
    for (const { entry } of this.#entries.values())
      if (entry.scope.tenant === tenant && where(entry)) ids.push(entry.id);
    for (const id of ids) this.remove(id);
    return ids;
  }

  #shelfOf(scope: Scope): Shelf {
    const key = keyOf(scope);
    let shelf = this.#shelves.get(key);
    if (!shelf) {
      shelf = new Shelf(languageOf(scope), this.#slotsOf(scope));
      this.#shelves.set(key, shelf);
    }
    return shelf;
  }

  #slotsOf({ tenant, assistant }: Scope): SlotReader {
    const key = JSON.stringify([tenant, assistant]);
    let slots = this.#slots.get(key);
    if (!slots) {
      slots = slotReader(this.#options.slots(tenant, assistant));
      this.#slots.set(key, slots);
    }
    return slots;
  }

  #learnerOf(asked: Pick<Question, "scope" | "vector" | "space">): Learner {
    const key = learnerKey(asked);
    const learner = this.#learners.get(key) ?? this.#newLearner(asked);
    this.#learners.set(key, learner);
    return learner;
  }

  #newLearner({ vector }: Pick<Question, "vector">): Learner {
    const [prior, by] = vector ? ([VECTOR_PRIOR, "vectors"] as const) : ([LEXICAL_PRIOR, "words"] as const);
    const bound = new Bound(this.#options.errorBound, by);
    return { entries: 0, verifier: new Verifier(prior), bound, sessions: new Map() };
  }

  #recordsOf(scope: Scope): LessonRecords {
    const key = keyOf(scope);
    let records = this.#records.get(key);
    if (!records) {
      records = new LessonRecords();
      this.#records.set(key, records);
    }
    return records;
  }

  /** Told by the lesson where both agreed, else by the candidate, while it is there. */
  #restOfTried({ entry: tried, agreed }: Trial, { documents }: SemanticEntry): string {
    return restOf(agreed ? documents : (this.get(tried)?.documents ?? []));
  }

  #count({ scope, documents }: SemanticEntry, { trial, rest }: Lesson, by: 1 | -1): void {
    this.#recordsOf(scope).count(trial.entry, rest, restOf(documents), by);
  }

  /** Source: mulberry32, public domain. */
  #draw(): number {
    this.#draws = (this.#draws + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#draws ^ (this.#draws >>> 15), this.#draws | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** What the guards say of a candidate, heard as far as it is asked for. */
function guardsFor(shelf: Shelf, { reading }: Probe): (near: Near) => Iterable<string> {
  return (near) =>
    near.rest === ""
      ? ["rests on nothing"]
      : refusals(reading, shelf.readingOf(near), shelf.contextOf(near.rest));
}

function isEmpty(words: Iterable<string>): boolean {
  for (const _ of words) return false;
  return true;
}

/** Evidence whose candidates the guards hear when somebody asks for them: most look-ups need one candidate judged. */
function showing(
  facts: Omit<Evidence, "candidates">,
  near: readonly Near[],
  refused: (near: Near) => Iterable<string>,
): Evidence {
  let candidates: Candidate[] | undefined;
  return {
    ...facts,
    get candidates() {
      candidates ??= near.slice(0, SHOWN).map((one) => shown(one, [...refused(one)]));
      return candidates;
    },
  };
}

const shown = ({ entry, cosine, lexical }: Near, refused: readonly string[]): Candidate => ({
  entry: entry.id,
  text: entry.text,
  documents: entry.documents,
  cosine,
  lexical,
  refused,
});

const mayTeach = ({ sessions }: Learner, session: string | undefined): boolean =>
  session === undefined || (sessions.get(session) ?? 0) < SESSION_LESSONS;

function countSession({ sessions }: Learner, session: string | undefined, by: 1 | -1): void {
  if (session === undefined) return;
  const count = (sessions.get(session) ?? 0) + by;
  if (count > 0) sessions.set(session, count);
  else sessions.delete(session);
}

const keyOf = ({ tenant, assistant, assistantVersion, tier, locale }: Scope): string =>
  JSON.stringify([tenant, assistant, assistantVersion, tier, locale]);

const learnerKey = ({ scope, vector, space }: Pick<Question, "scope" | "vector" | "space">): string =>
  JSON.stringify([scope.tenant, scope.assistant, languageOf(scope), vector && [space, vector.length]]);

const languageOf = ({ locale }: Scope): string => locale.toLowerCase().split(/[-_]/, 1)[0] ?? "";
