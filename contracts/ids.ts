/**
 * Ids from outside and how they become subject tokens, partitions and shards.
 * Every publisher, in any language, computes the partition itself: it is one line of FNV-1a.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { LIMITS } from "./limits.ts";

/** How many fixed hash buckets of actor keys there are. Never changes for the life of a deployment. */
export const PARTITIONS = 64;

const PLAIN = /^[A-Za-z0-9_-]{1,64}$/;
// Everything Unicode calls white space or control, plus lone surrogates: none of it can be told apart in a log.
const FORBIDDEN = /[\s\p{Cc}\p{Cs}]/u;

/** True for an id that may come from outside: 1 to 256 characters, no white space, no control characters. */
export function isId(value: unknown): value is string {
  return (
    typeof value === "string" && value.length >= 1 && value.length <= LIMITS.idChars && !FORBIDDEN.test(value)
  );
}

/** The subject token of an id: plain ids are their own, anything else is `=` + base64url of its SHA-256. */
export function tokenOf(id: string): string {
  return PLAIN.test(id) ? id : `=${base64url(sha256(utf8.encode(id)))}`;
}

const utf8 = new TextEncoder();

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** FNV-1a-32 over an ASCII string. Source: Fowler, Noll, Vo; the 32-bit prime and offset basis. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The partition of an actor, from the tokens of its address. */
export function partitionOf(kind: string, tenantToken: string, keyToken: string): number {
  return fnv1a(`${kind}.${tenantToken}.${keyToken}`) % PARTITIONS;
}

/** Which numbered copy of the streams carries a partition. `shards` is fixed when a deployment is provisioned. */
export function shardOf(partition: number, shards: number): number {
  return partition % shards;
}
