/** Bytes as text. What cannot be read for sure is refused: a wrong guess would be answered from. */
import { isUtf8 } from "node:buffer";
import type { Read } from "./format.ts";

/** @throws Error that says what is wrong */
export function decodeText(bytes: Uint8Array, charset = "utf-8"): string {
  const text = decode(bytes, markOf(bytes) ?? charset).replace(/^\uFEFF/, "");
  if (text.includes("\0")) throw new Error("holds NUL characters; it is no text");
  return text;
}

function decode(bytes: Uint8Array, charset: string): string {
  if (charset === "utf-8" && !isUtf8(bytes))
    throw new Error("is not UTF-8; convert it, such as by iconv -f WINDOWS-1252 -t UTF-8");
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`is not ${charset}`);
  }
}

/** The encoding that a byte order mark names. */
function markOf([first, second, third]: Uint8Array): string | undefined {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  return undefined;
}

export function readPlainText(bytes: Uint8Array): Read {
  return { text: decodeText(bytes) };
}
