/** Working memory of searches. */

/** A mark of a passage; lower ones name the term that counted last for it, 0 none. */
export const ACCEPTED = 255;

/** Working memory of a search, all zero between two. Searches do not wait for anything, so one serves all indexes. */
export class Scratch {
  readonly marks: Uint8Array;
  readonly matches: Uint8Array;
  readonly covered: Float64Array;
  readonly scores: Float64Array;

  constructor(length: number) {
    this.marks = new Uint8Array(length);
    this.matches = new Uint8Array(length);
    this.covered = new Float64Array(length);
    this.scores = new Float64Array(length);
  }

  clear(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.marks[number] = 0;
      this.matches[number] = 0;
      this.covered[number] = 0;
      this.scores[number] = 0;
    }
  }
}

let shared = new Scratch(1_024);

export function scratchFor(passages: number): Scratch {
  if (passages > shared.marks.length) shared = new Scratch(Math.ceil(passages * 1.25));
  return shared;
}
