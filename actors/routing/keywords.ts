/**
 * Keywords as whole words, in any case and script. Text becomes a row of words between single spaces and a keyword is
 * looked for in it as such a row: nothing that anybody wrote is ever a pattern, and the time is linear in the text.
 */

/** What is meant stands at the beginning of a message; a pasted log or contract behind it is not searched. */
const SEARCHED_CHARS = 8_000;

// Scripts written without spaces have no whole words that can be told apart cheaply: each character is one, so that a
// keyword is found anywhere in a sentence. Signs such as emoji and currencies are words too.
const WORD =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]\p{M}*|[[\p{L}\p{N}]--[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]][[\p{L}\p{N}\p{M}]--[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]]*|[\p{So}\p{Sc}]/gv;

/** Upper case first folds what lower case alone keeps apart: sz and ss, the two small sigmas, i with and without dot. */
const fold = (text: string): string =>
  text.normalize("NFKC").toUpperCase().toLowerCase().replaceAll("i\u0307", "i").normalize("NFKC");

/** The searchable form of a text: ` word word `; a single space where it holds none. */
export function rowOf(text: string): string {
  // Cut again: one character can stand for eighteen in its plain form.
  const words = fold(text.slice(0, SEARCHED_CHARS)).slice(0, SEARCHED_CHARS).match(WORD);
  return words ? ` ${words.join(" ")} ` : " ";
}

export class Keywords {
  readonly #rows: readonly { readonly keyword: string; readonly row: string }[];

  constructor(keywords: readonly string[]) {
    // A keyword of nothing but punctuation would be found in every text: it is found in none.
    this.#rows = keywords
      .map((keyword) => ({ keyword, row: rowOf(keyword) }))
      .filter(({ row }) => row !== " ");
  }

  /** The first keyword that stands in a row made by `rowOf`, as it was configured. */
  find(row: string): string | undefined {
    return this.#rows.find((each) => row.includes(each.row))?.keyword;
  }
}
