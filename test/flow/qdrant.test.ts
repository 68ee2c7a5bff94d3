// Qdrant in trouble and in motion: what is retried, when it is left alone, a restart, a switch of the alias, and that
// every request is one its description knows.
import { afterEach, expect, test } from "vitest";
import { unitLength } from "#actors/knowledge/embeddings/unit-length.ts";
import { addressOf, QdrantRequests } from "#actors/knowledge/vectors/qdrant-client.ts";
import { QdrantCollections } from "#actors/knowledge/vectors/qdrant-collections.ts";
import { QdrantIndex } from "#actors/knowledge/vectors/qdrant-index.ts";
import type { VectorDocument } from "#actors/knowledge/vectors/vector-index.ts";
import { stretchPatience } from "#runtime/within.ts";
import { startTestQdrant, type TestQdrant } from "#test/harness/qdrant.ts";
import { PATIENCE_MS } from "#test/harness/wait.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean();
});

async function started(options: { apiKey?: string } = {}): Promise<TestQdrant> {
  const qdrant = await startTestQdrant(options);
  cleanups.push(async () => {
    await qdrant.stop();
    expect(qdrant.faults ?? []).toEqual([]);
  });
  return qdrant;
}

const X = unitLength(Float32Array.of(1, 0))!;
const Y = unitLength(Float32Array.of(0, 1))!;
const document = (id: string, vectors: Float32Array[], revision = 1): VectorDocument => ({
  ...{ tenant: "acme", collection: "shop", document: id, revision, language: "en" },
  hashes: vectors.map(String),
  vectors,
});
const indexOf = (qdrant: TestQdrant, options: object = {}): QdrantIndex =>
  new QdrantIndex({ url: qdrant.url, prefix: "jetclaw", model: "m", ...options });
const ask = { tenant: "acme", collections: ["shop"], vector: X, limit: 5 };
const unavailable = { code: "vectors.unavailable" };

test("what passes is tried again: 503 and 429 while writing", async () => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  let failures = 2;
  qdrant.interfere((path, response) => {
    if (!path.endsWith("/points") || failures-- <= 0) return false;
    response.writeHead(failures === 0 ? 429 : 503);
    response.end();
    return true;
  });
  await index.upsert([document("a", [X])]);
  expect(await index.search(ask)).toHaveLength(1);
});

test("who took not even one point takes as many as before once it takes any", async () => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  const many = Array.from({ length: 40 }, (_, n) => (n % 2 ? X : Y));
  const requests = { refused: 0, taken: 0 };
  let most = 0;
  qdrant.interfere((path, response, body) => {
    if (!path.startsWith("PUT") || !path.endsWith("/points")) return false;
    const refused = (body as { points: unknown[] }).points.length > most;
    requests[refused ? "refused" : "taken"]++;
    if (!refused) return false;
    response.writeHead(413, { "content-type": "text/html" });
    response.end("<h1>413 Request Entity Too Large</h1>");
    return true;
  });
  await expect(index.upsert([document("a", many)])).rejects.toMatchObject({ code: "vectors.rejected" });
  expect(requests).toEqual({ refused: 6, taken: 0 });
  most = Number.POSITIVE_INFINITY;
  await index.upsert([document("a", many)]);
  expect(requests).toEqual({ refused: 6, taken: 2 });
  expect(await index.count()).toBe(40);
});

test.each([400, 404])("a page (%i) of what stands before Qdrant says nothing of it", async (status) => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X])]);
  qdrant.interfere((_, response) => {
    response.writeHead(status, { "content-type": "text/html" });
    response.end("<h1>No</h1>");
    return true;
  });
  await expect(index.upsert([document("b", [X])])).rejects.toMatchObject(unavailable);
  // Else nothing would be removed, and nobody told.
  await expect(index.remove([document("a", [])])).rejects.toMatchObject(unavailable);
  await expect(index.erase("acme")).rejects.toMatchObject(unavailable);
  qdrant.interfere(undefined);
  expect(await index.search(ask)).toHaveLength(1);
});

test.each([
  ["points", "/points", 400, "vectors.rejected"],
  ["points, too large a request", "/points", 413, "vectors.rejected"],
  ["where there is no collection", "/points", 404, "vectors.unavailable"],
  ["the revisions that are there", "/points/scroll", 400, "vectors.unavailable"],
  ["the end of what is below", "/points/delete", 400, "vectors.unavailable"],
])("what Qdrant refuses is one error: %s", async (_, end, status, code) => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X])]);
  qdrant.interfere((path, response) => {
    if (!path.endsWith(end)) return false;
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ status: { error: "Wrong input" }, time: 0 }));
    return true;
  });
  const refused = await index.upsert([document("a", [Y], 2)]).catch((error: Error) => error);
  expect(refused).toMatchObject({ code, detail: `Qdrant answers ${status}: Wrong input` });
  expect(index.breaker).toBe("closed");
});

test("a search does not wait for an answer that does not come, then Qdrant is left alone until it is back", async () => {
  const qdrant = await started();
  stretchPatience(1);
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X])]);
  qdrant.interfere((path) => path.endsWith("/query"));
  for (let n = 0; n < 30; n++) {
    await expect(index.search(ask)).rejects.toMatchObject(unavailable);
  }
  expect(index.breaker).toBe("open");
  // Three, and on a slow machine a probe now and then.
  expect(qdrant.requests.filter((path) => path.endsWith("/query")).length).toBeLessThan(10);
  qdrant.interfere(undefined);
  await expect
    .poll(
      () =>
        index.search(ask).then(
          (hits) => hits.length,
          () => 0,
        ),
      { timeout: 3 * PATIENCE_MS },
    )
    .toBe(1);
  expect(index.breaker).toBe("closed");
});

test("stopped and started again: refused meanwhile, everything there afterwards", async () => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X, Y])]);
  await qdrant.halt();
  await expect(index.search(ask)).rejects.toMatchObject(unavailable);
  await expect(index.upsert([document("b", [X])])).rejects.toMatchObject(unavailable);
  await qdrant.resume();
  await expect
    .poll(
      () =>
        index.search(ask).then(
          (hits) => hits.length,
          () => 0,
        ),
      { timeout: PATIENCE_MS },
    )
    .toBe(2);
});

test("a wrong key is said without the key", async () => {
  const qdrant = await started({ apiKey: "right" });
  const refused = await indexOf(qdrant, { apiKey: "wrong-secret" })
    .search(ask)
    .catch((error: Error) => error);
  expect(refused).toMatchObject(unavailable);
  expect(String(refused)).toMatch(/401/);
  expect(String(refused)).not.toContain("wrong-secret");
  expect(await indexOf(qdrant, { apiKey: "right" }).search(ask)).toEqual([]);
});

test("processes that start together make one collection", async () => {
  const qdrant = await started();
  const indexes = Array.from({ length: 4 }, () => indexOf(qdrant));
  await Promise.all(indexes.map((index, n) => index.upsert([document(`d${n}`, [X])])));
  expect(await qdrant.collections()).toHaveLength(1);
  expect(await indexes[0]?.count()).toBe(4);
});

test("a new collection is filled beside traffic and takes over in one step", async () => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X])]);
  const next = indexOf(qdrant, { generation: 2 });
  await next.upsert([document("a", [Y]), document("b", [X])]);
  expect(await index.search(ask)).toHaveLength(1);
  const requests = new QdrantRequests({ url: qdrant.url, timeoutMs: PATIENCE_MS, retries: 0 });
  const collections = new QdrantCollections(requests, { prefix: "jetclaw", model: "m" });
  expect(await collections.behind(2)).toBe(1);
  await collections.switchTo(2, 2);
  await collections.drop(2, 1);
  expect(await index.search(ask)).toHaveLength(2);
  expect(await collections.numbers(2)).toEqual([2]);
  expect(await qdrant.collections()).toHaveLength(1);
});

test("a collection of that name with other vectors is refused by name", async () => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X])]);
  const [[alias, name] = ["", ""]] = await qdrant.aliases();
  await qdrant.replace(name, 7);
  await expect(indexOf(qdrant).upsert([document("a", [X])])).rejects.toMatchObject({
    code: "vectors.dimension",
  });
  expect(alias).toMatch(/^jetclaw-m-\w+-2$/);
});

test("a process that begins with a removal finds the collection of its model", async () => {
  const qdrant = await started();
  await indexOf(qdrant).upsert([document("a", [X]), document("b", [Y])]);
  const fresh = indexOf(qdrant);
  await fresh.remove([{ tenant: "acme", collection: "shop", document: "a", revision: 2 }]);
  expect(await fresh.count()).toBe(1);
  await indexOf(qdrant).erase("acme");
  expect(await fresh.count()).toBe(0);
});

test("a collection that is gone is made anew, and somebody is told; gone for a reader it is empty", async () => {
  const qdrant = await started();
  let remade = 0;
  const index = indexOf(qdrant, { onRemade: () => remade++ });
  await index.upsert([document("a", [X])]);
  await qdrant.lose();
  expect(await index.search(ask)).toEqual([]);
  await index.remove([{ tenant: "acme", collection: "shop", document: "a", revision: 2 }]);
  await index.upsert([document("b", [X])]);
  expect(remade).toBe(1);
  expect((await index.search(ask)).map((hit) => hit.document)).toEqual(["b"]);
});

test("vectors of another length than the collection's are said to be that, whoever notices", async () => {
  const qdrant = await started();
  const index = indexOf(qdrant);
  await index.upsert([document("a", [X])]);
  const [name = ""] = await qdrant.collections();
  await qdrant.replace(name, 7);
  await expect(index.upsert([document("b", [X])])).rejects.toMatchObject({ code: "vectors.dimension" });
  await expect(index.search(ask)).rejects.toMatchObject({ code: "vectors.dimension" });
});

test("a URL leads where it says: its port also where it is the usual one, and its path", () => {
  expect(addressOf("http://qdrant")).toEqual({ host: "qdrant", port: 6_333, https: false, prefix: "" });
  expect(addressOf("https://a.cloud.example/")).toMatchObject({ port: 6_333, https: true, prefix: "" });
  expect(addressOf("http://proxy:80/qdrant/")).toMatchObject({ host: "proxy", port: 80, prefix: "/qdrant" });
  expect(addressOf("https://proxy:443")).toMatchObject({ port: 443, https: true });
  expect(addressOf("http://[::1]:7000")).toMatchObject({ host: "[::1]", port: 7_000 });
});

test("the check of requests finds what Qdrant does not know", async () => {
  const qdrant = await startTestQdrant();
  cleanups.push(() => qdrant.stop());
  const send = (path: string, body: object): Promise<unknown> =>
    fetch(`${qdrant.url}${path}`, { method: "POST", body: JSON.stringify(body) });
  await send("/collections/c/points/query?wat=1", { query: [1], filter: { must: [{ key: "a", mach: 1 }] } });
  await send("/collections/c/points/delete", { filter: { must: [{ key: "a", match: { value: 1.5 } }] } });
  await send("/collections/c/points/search2", {});
  if (qdrant.faults) expect(qdrant.faults.length).toBeGreaterThanOrEqual(4);
});
