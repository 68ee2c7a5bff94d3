/**
 * Lists of 32-bit numbers, very many and mostly short, kept in few large arrays: a list is a chain of blocks, each twice
 * as large as the one before it up to a page's share. Nothing is copied when a list grows, and no list is an object that
 * the garbage collector has to look at.
 */

/** Numbers in a page; an address is the page's number and a place in it. */
const PAGE_BITS = 18;
const PAGE = 1 << PAGE_BITS;
/** Numbers in the smallest and largest block, the link to the block before included. */
const SMALLEST_BITS = 2;
const LARGEST_BITS = 10;
const SIZES = LARGEST_BITS - SMALLEST_BITS + 1;

const sizeOf = (step: number): number => 1 << (SMALLEST_BITS + Math.min(step, SIZES - 1));
/** How many values the blocks before each step hold. */
const STARTS = Array.from({ length: SIZES + 1 }, (_, step) => {
  let sum = 0;
  for (let before = 0; before < step; before++) sum += sizeOf(before) - 1;
  return sum;
});

/** The step that the last value of a list lies in. */
function stepOf(count: number): number {
  let step = 0;
  while (step < SIZES && count > (STARTS[step + 1] as number)) step++;
  if (step < SIZES) return step;
  return SIZES + Math.floor((count - 1 - (STARTS[SIZES] as number)) / (sizeOf(SIZES) - 1));
}

const startOf = (step: number): number =>
  step <= SIZES ? (STARTS[step] as number) : (STARTS[SIZES] as number) + (step - SIZES) * (sizeOf(SIZES) - 1);

export class Postings {
  readonly #pages: Uint32Array[] = [];
  /** Where the next block is cut from the last page. */
  #end = PAGE;
  /** Blocks given back, by size. */
  readonly #free: number[][] = Array.from({ length: SIZES }, () => []);
  /** Newest block and length of each list. */
  #heads = new Uint32Array(1_024);
  #counts = new Uint32Array(1_024);

  count(list: number): number {
    return this.#counts[list] ?? 0;
  }

  append(list: number, value: number): void {
    if (list >= this.#heads.length) this.#extend(list);
    const count = this.#counts[list] as number;
    const step = stepOf(count + 1);
    const fill = count - startOf(step);
    if (fill === 0) {
      const address = this.#allocate(step);
      this.#write(address, this.#heads[list] as number);
      this.#heads[list] = address;
    }
    this.#write((this.#heads[list] as number) + 1 + fill, value);
    this.#counts[list] = count + 1;
  }

  /** The values of a list as views into the pages, newest block first; valid until the list changes. */
  blocks(list: number): Uint32Array[] {
    const count = this.count(list);
    if (count === 0) return [];
    const views: Uint32Array[] = [];
    let address = this.#heads[list] as number;
    let left = count;
    for (let step = stepOf(count); step >= 0; step--) {
      const page = this.#pages[address >>> PAGE_BITS] as Uint32Array;
      const at = address & (PAGE - 1);
      const fill = left - startOf(step);
      views.push(page.subarray(at + 1, at + 1 + fill));
      left -= fill;
      address = page[at] as number;
    }
    return views;
  }

  /** Drops the values that are not to be kept. */
  sweep(list: number, keep: (value: number) => boolean): void {
    const kept = this.blocks(list).flatMap((block) => [...block.filter(keep)]);
    this.#release(list);
    for (const value of kept) this.append(list, value);
  }

  #release(list: number): void {
    const count = this.#counts[list] as number;
    if (count === 0) return;
    let address = this.#heads[list] as number;
    for (let step = stepOf(count); step >= 0; step--) {
      this.#free[Math.min(step, SIZES - 1)]?.push(address);
      address = (this.#pages[address >>> PAGE_BITS] as Uint32Array)[address & (PAGE - 1)] as number;
    }
    this.#counts[list] = 0;
  }

  #allocate(step: number): number {
    const reused = this.#free[Math.min(step, SIZES - 1)]?.pop();
    if (reused !== undefined) return reused;
    const size = sizeOf(step);
    if (this.#end + size > PAGE) {
      this.#pages.push(new Uint32Array(PAGE));
      this.#end = 0;
    }
    const address = (this.#pages.length - 1) * PAGE + this.#end;
    this.#end += size;
    return address;
  }

  #write(address: number, value: number): void {
    (this.#pages[address >>> PAGE_BITS] as Uint32Array)[address & (PAGE - 1)] = value;
  }

  #extend(list: number): void {
    const length = Math.max(list + 1, this.#heads.length * 2);
    this.#heads = grown(this.#heads, length);
    this.#counts = grown(this.#counts, length);
  }
}

/** The same values in a longer array. */
export function grown<A extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(
  array: A,
  length: number,
): A {
  const longer = new (array.constructor as new (length: number) => A)(length);
  longer.set(array);
  return longer;
}
