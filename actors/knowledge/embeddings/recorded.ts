/**
 * Vectors of a real model from files, for evaluation: `PREFIX.f16` holds them (rows of half-precision numbers, unit
 * length, no header), `PREFIX.keys.txt` the SHA-256 of the text of each row.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { JetclawError } from "#contracts/errors.ts";
import type { Embedder } from "../port.ts";
import { decodeHalf } from "./float16.ts";
import { unitLength } from "./unit-length.ts";

/** @throws JetclawError `config.invalid` where the files are missing or do not fit each other. */
export async function recordedEmbedder(prefix: string): Promise<Embedder> {
  const [bytes, keys] = await Promise.all([
    readFile(`${prefix}.f16`),
    readFile(`${prefix}.keys.txt`, "utf8"),
  ]).catch((cause: unknown) => {
    throw new JetclawError("config.invalid", `${prefix}.f16 and ${prefix}.keys.txt cannot be read`, {
      cause,
    });
  });
  const rows = new Map(
    keys
      .trim()
      .split("\n")
      .map((key, row) => [key.trim(), row]),
  );
  const dimensions = bytes.length / 2 / rows.size;
  if (!Number.isInteger(dimensions) || dimensions === 0)
    throw new JetclawError("config.invalid", `${prefix}.f16 has ${bytes.length} bytes for ${rows.size} keys`);
  return {
    model: basename(prefix),
    dimensions,
    async embed(texts) {
      return texts.map((text) => {
        const row = rows.get(createHash("sha256").update(text, "utf8").digest("hex"));
        if (row === undefined)
          throw new JetclawError("embeddings.rejected", `no vector was recorded for "${text.slice(0, 60)}"`);
        const vector = unitLength(decodeHalf(bytes, row * dimensions * 2, dimensions));
        if (!vector)
          throw new JetclawError("embeddings.rejected", `row ${row} of ${prefix}.f16 is no vector`);
        return vector;
      });
    },
  };
}
