/** By what a text's vector is known. */
import { createHash } from "node:crypto";

/** Base64url of the first 16 bytes of the SHA-256: 128 bits never meet by chance. */
export const textHash = (text: string): string =>
  createHash("sha256").update(text, "utf8").digest().subarray(0, 16).toString("base64url");
