/** How collections, aliases and points in Qdrant are called. */
import { createHash } from "node:crypto";
import { textHash } from "../embeddings/text-hash.ts";
import type { DocumentAddress } from "./vector-index.ts";

/** Everything searches and writes by the alias; which numbered collection stands behind it may change under traffic. */
export function aliasOf(prefix: string, model: string, dimensions: number | ""): string {
  const readable = model
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 48);
  // Two models whose readable names are the same are told apart.
  return `${prefix}-${readable}-${textHash(model)
    .replace(/[^A-Za-z0-9]/g, "")
    .slice(0, 6)}-${dimensions}`;
}

export const generationOf = (alias: string, n: number): string => `${alias}.${n}`;

/** The number of a collection behind the alias; undefined for a name that is none. */
export function numberOf(alias: string, collection: string): number | undefined {
  const n = Number(collection.startsWith(`${alias}.`) ? collection.slice(alias.length + 1) : Number.NaN);
  return Number.isInteger(n) && n > 0 ? n : undefined;
}

/** The same in every process and at every try, so that a repeat replaces itself. @returns a UUID */
export function pointId(address: DocumentAddress, revision: number, passage: number): string {
  const { tenant, collection, document } = address;
  const hash = createHash("sha256")
    .update([tenant, collection, document, revision, passage].join("\n"), "utf8")
    .digest();
  // Version 8 of RFC 9562: bits of our own making.
  hash[6] = ((hash[6] as number) & 0x0f) | 0x80;
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80;
  const hex = hash.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    "-",
  );
}

/** A document in one payload field. Its ids may be longer than what an index of keywords should hold. */
export const documentKey = ({ tenant, collection, document }: DocumentAddress): string =>
  textHash([tenant, collection, document].join("\n"));
