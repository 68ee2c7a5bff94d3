/** Work on several items, where one that is refused must not cost the others theirs. */
import { type ErrorCode, JetclawError } from "#contracts/errors.ts";
import { UNKNOWN_LANGUAGE, type VectorDocument, type VectorIndex } from "./vector-index.ts";

/**
 * What is refused in a batch is tried in halves, until it stands alone.
 * @param onRefused asked before the first half; what it throws ends it @returns for each item its result or the refusal
 */
export async function apart<T, R>(
  items: readonly T[],
  refusal: ErrorCode,
  work: (items: readonly T[]) => Promise<readonly R[]>,
  onRefused?: (why: JetclawError) => Promise<void>,
): Promise<(R | JetclawError)[]> {
  try {
    return [...(await work(items))];
  } catch (error) {
    if (!(error instanceof JetclawError) || error.code !== refusal) throw error;
    await onRefused?.(error);
    if (items.length === 1) return [error];
    const half = items.length >> 1;
    const first = await apart(items.slice(0, half), refusal, work);
    return [...first, ...(await apart(items.slice(half), refusal, work))];
  }
}

/**
 * Puts documents into an index. @returns for each why it was refused while others are not; undefined where it is in
 * @throws JetclawError `vectors.unavailable`, also where the index refuses everything: nothing is wrong with a document then
 */
export async function takeIn(
  index: VectorIndex,
  documents: readonly VectorDocument[],
): Promise<(JetclawError | undefined)[]> {
  const results = await apart(documents, "vectors.rejected", async (some) => {
    await index.upsert(some);
    return some.map(() => undefined);
  });
  const refused = results.find((each) => each !== undefined);
  if (refused && !results.includes(undefined) && !(await takesOthers(index, documents)))
    throw new JetclawError("vectors.unavailable", refused.detail, { cause: refused });
  return results;
}

/** Whether the index takes a vector as long as these of a document that is nobody's: no id is empty. */
async function takesOthers(index: VectorIndex, like: readonly VectorDocument[]): Promise<boolean> {
  const dimensions = like.flatMap(({ vectors }) => [...vectors])[0]?.length ?? 1;
  const nobodys = { tenant: "", collection: "", document: "", revision: 0 };
  const vectors = [new Float32Array(dimensions).fill(1, 0, 1)];
  try {
    await index.upsert([{ ...nobodys, language: UNKNOWN_LANGUAGE, hashes: [""], vectors }]);
  } catch (error) {
    if (error instanceof JetclawError && error.code === "vectors.rejected") return false;
    throw error;
  }
  await index.remove([nobodys]);
  return true;
}
