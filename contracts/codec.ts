/**
 * msgpack in and out. Records are off, so that any msgpack reader can read what we write. A property that is undefined is
 * left out, as in JSON: written as nil it would come back as null, which no optional field of a schema takes.
 * Decoding is bounded: a huge declared length or deep nesting is a decode error, never an allocation.
 */
import { type Options, Packr, Unpackr } from "msgpackr";
import { JetclawError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** `skipValues` is documented by msgpackr and missing in its types. */
const WRITING: Options & { readonly skipValues: readonly unknown[] } = {
  useRecords: false,
  variableMapSize: true,
  encodeUndefinedAsNil: true,
  skipValues: [undefined],
};
const packr = new Packr(WRITING);
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** Encodes plain data. The returned bytes are the caller's own. */
export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Decodes bytes that we wrote ourselves. @throws JetclawError `codec.invalid` */
export function decode<T>(bytes: Uint8Array): T {
  try {
    return unpackr.unpack(bytes) as T;
  } catch (cause) {
    throw new JetclawError("codec.invalid", undefined, { cause });
  }
}

/**
 * Decodes bytes that anyone may have written: checks size, nesting and declared lengths before decoding.
 * @throws JetclawError `codec.invalid`, `nats.too-large`
 */
export function decodeUntrusted<T>(bytes: Uint8Array, maxBytes: number = LIMITS.envelopeBytes): T {
  if (bytes.length > maxBytes)
    throw new JetclawError("nats.too-large", `${bytes.length} bytes, at most ${maxBytes}`);
  assertBounded(bytes);
  return decode<T>(bytes);
}

/** Walks the headers of a msgpack document without building it. Source: the msgpack specification's format table. */
function assertBounded(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open: number[] = []; // how many values each open container still misses
  let at = 0;
  const fail = (why: string): never => {
    throw new JetclawError("codec.invalid", why);
  };
  const need = (n: number): void => {
    if (at + n > bytes.length) fail("a declared length goes beyond the bytes");
  };
  const skip = (n: number): void => {
    need(n);
    at += n;
  };
  const length = (size: 1 | 2 | 4): number => {
    need(size);
    const n = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at);
    at += size;
    return n;
  };
  const container = (values: number): void => {
    // Each value takes at least one byte, so a larger declaration is a lie.
    if (values > bytes.length - at) fail("a declared length goes beyond the bytes");
    if (open.length >= LIMITS.codecDepth) fail("nested too deeply");
    open.push(values);
  };
  open.push(1);
  while (open.length > 0) {
    const last = open.length - 1;
    if (open[last] === 0) {
      open.pop();
      continue;
    }
    open[last] = (open[last] as number) - 1;
    need(1);
    const tag = view.getUint8(at++);
    if (tag <= 0x7f || tag >= 0xe0) continue;
    if (tag <= 0x8f) container((tag & 0x0f) * 2);
    else if (tag <= 0x9f) container(tag & 0x0f);
    else if (tag <= 0xbf) skip(tag & 0x1f);
    else scanTagged(tag, { skip, length, container, fail });
  }
  if (at !== bytes.length) fail("bytes follow the value");
}

interface Scanner {
  skip(n: number): void;
  length(size: 1 | 2 | 4): number;
  container(values: number): void;
  fail(why: string): never;
}

const FIXED: Readonly<Record<number, number>> = {
  192: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  207: 8,
  208: 1,
  209: 2,
  210: 4,
  211: 8,
};

function scanTagged(tag: number, s: Scanner): void {
  const fixed = FIXED[tag];
  if (fixed !== undefined) s.skip(fixed);
  else if (tag === 0xc4 || tag === 0xd9) s.skip(s.length(1));
  else if (tag === 0xc5 || tag === 0xda) s.skip(s.length(2));
  else if (tag === 0xc6 || tag === 0xdb) s.skip(s.length(4));
  else if (tag === 0xdc) s.container(s.length(2));
  else if (tag === 0xdd) s.container(s.length(4));
  else if (tag === 0xde) s.container(s.length(2) * 2);
  else if (tag === 0xdf) s.container(s.length(4) * 2);
  else s.fail("an extension type, which envelopes do not use");
}
