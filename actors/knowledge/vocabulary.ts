/**
 * The terms of one index with how many passages hold each, and which of them a question's word can stand for: the
 * word itself, a compound with it (`lever` - `levertijd`), its parts (`retourkosten` - `retour`, `kost`), or a word
 * that differs by a typing error. The one file besides `term-index.ts` that knows minisearch (its radix tree).
 */
import SearchableMap from "minisearch/SearchableMap";

export interface Expansion {
  readonly term: string;
  /** 1 for the word itself, less the further it is from it. */
  readonly weight: number;
}

const COMPOUND_WEIGHT = 0.7;
const PARTS_WEIGHT = 0.8;
const TYPO_WEIGHT = 0.75;
/** Parts of compounds have at least so many letters; a shorter one is an ending. */
const PART_CHARS = 4;
/** More compounds of one word tell nothing apart. */
const MOST_COMPOUNDS = 24;
/** Languages that write compounds as one word. */
const COMPOUNDING: ReadonlySet<string> = new Set(["nl", "de", "da", "sv", "no", "fi"]);

const reversed = (term: string): string => [...term].reverse().join("");

export class Vocabulary {
  readonly #compounding: boolean;
  readonly #terms = new SearchableMap<number>();
  readonly #reversed = new SearchableMap<true>();

  constructor(language: string) {
    this.#compounding = COMPOUNDING.has(language);
  }

  /** How many passages hold the term. */
  frequency(term: string): number {
    return this.#terms.get(term) ?? 0;
  }

  add(term: string): void {
    const frequency = this.frequency(term);
    this.#terms.set(term, frequency + 1);
    if (frequency === 0 && this.#compounding) this.#reversed.set(reversed(term), true);
  }

  remove(term: string): void {
    const frequency = this.frequency(term);
    if (frequency > 1) this.#terms.set(term, frequency - 1);
    else {
      this.#terms.delete(term);
      if (this.#compounding) this.#reversed.delete(reversed(term));
    }
  }

  /** The terms of the index that a question's term stands for, best first; empty for a word it does not know. */
  expand(term: string): Expansion[] {
    const known: Expansion[] = this.frequency(term) > 0 ? [{ term, weight: 1 }] : [];
    if (this.#compounding) known.push(...this.#compoundsWith(term));
    if (known.length === 0 && this.#compounding) known.push(...this.#partsOf(term));
    return known.length > 0 ? known : this.#likely(term);
  }

  #compoundsWith(part: string): Expansion[] {
    if (part.length < PART_CHARS) return [];
    const found: Expansion[] = [];
    for (const term of this.#terms.atPrefix(part).keys())
      if (term.length >= part.length + PART_CHARS - 1) found.push({ term, weight: COMPOUND_WEIGHT });
    for (const backwards of this.#reversed.atPrefix(reversed(part)).keys())
      if (backwards.length >= part.length + PART_CHARS - 1)
        found.push({ term: reversed(backwards), weight: COMPOUND_WEIGHT });
    return found.slice(0, MOST_COMPOUNDS);
  }

  /** Splits an unknown compound where both sides are known, a linking s or e between them or not. */
  #partsOf(term: string): Expansion[] {
    for (let at = term.length - PART_CHARS; at >= PART_CHARS; at--) {
      const right = term.slice(at);
      const left = [term.slice(0, at), term.slice(0, at).replace(/[se]$/, "")].find(
        (part) => this.frequency(part) > 0,
      );
      if (left !== undefined && this.frequency(right) > 0)
        return [left, right].map((part) => ({ term: part, weight: PARTS_WEIGHT }));
    }
    return [];
  }

  /** Typing errors: one letter in six, two in nine, never the first. */
  #likely(term: string): Expansion[] {
    const distance = term.length >= 9 ? 2 : term.length >= 6 ? 1 : 0;
    if (distance === 0 || /\d/.test(term)) return [];
    let best: { term: string; distance: number; frequency: number } | undefined;
    for (const [candidate, [frequency, far]] of this.#terms.fuzzyGet(term, distance)) {
      if (candidate[0] !== term[0] || candidate.length < PART_CHARS) continue;
      if (!best || far < best.distance || (far === best.distance && frequency > best.frequency))
        best = { term: candidate, distance: far, frequency };
    }
    return best ? [{ term: best.term, weight: TYPO_WEIGHT }] : [];
  }
}
