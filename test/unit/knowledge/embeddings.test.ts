// Texts to vectors: the client against a server that answers as told, recorded vectors, half precision, memory.
import { createHash } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodeHalf, encodeHalf } from "#actors/knowledge/embeddings/float16.ts";
import { RememberingEmbedder } from "#actors/knowledge/embeddings/memory.ts";
import { type EmbeddingsClient, openaiEmbeddings } from "#actors/knowledge/embeddings/openai.ts";
import { questionVectors } from "#actors/knowledge/embeddings/questions.ts";
import { recordedEmbedder } from "#actors/knowledge/embeddings/recorded.ts";
import { dot, unitLength } from "#actors/knowledge/embeddings/unit-length.ts";
import type { Embedder } from "#actors/knowledge/port.ts";
import { recordOf } from "#actors/knowledge/vectors/passage-vectors.ts";
import { TextBatches } from "#actors/knowledge/vectors/text-batches.ts";
import type { JetclawError } from "#contracts/errors.ts";

interface Asked {
  readonly model: string;
  readonly input: string[];
  readonly encoding_format: string;
  readonly dimensions?: number;
}
type Respond = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean();
});

async function serverOf(respond: Respond): Promise<{ baseUrl: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      asked.push(JSON.parse(body));
      respond(asked.at(-1)!, response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}

/** Two numbers a text: its length and 1, not of unit length. */
const vectorsOf = (texts: readonly string[]): number[][] => texts.map((text) => [text.length, 1]);

const asFloats: Respond = ({ input }, response) =>
  response.end(JSON.stringify({ data: vectorsOf(input).map((embedding, index) => ({ index, embedding })) }));

function client(baseUrl: string, options: object = {}): EmbeddingsClient {
  const made = openaiEmbeddings({ baseUrl, model: "m", purpose: "document", ...options });
  cleanups.push(() => made.close());
  return made;
}

const ratio = (vector: Float32Array | undefined): number => Math.round(vector![0]! / vector![1]!);

describe("an OpenAI-compatible server", () => {
  test("batches, the key, the model; vectors of unit length in the order of the texts", async () => {
    const keys: unknown[] = [];
    const { baseUrl, asked } = await serverOf((each, response, request) => {
      keys.push(request.headers.authorization);
      const data = vectorsOf(each.input).map((numbers, index) => ({
        index,
        embedding: Buffer.from(Float32Array.from(numbers).buffer).toString("base64"),
      }));
      response.end(JSON.stringify({ data: data.reverse() }));
    });
    const embedder = client(baseUrl, { batchTexts: 2, apiKey: "k" });
    expect(embedder.dimensions).toBeUndefined();
    const vectors = await embedder.embed(["a", "bb", "ccc"]);
    expect(vectors.map(ratio)).toEqual([1, 2, 3]);
    for (const vector of vectors) expect(dot(vector, vector)).toBeCloseTo(1, 5);
    expect(asked.map(({ input }) => input.length)).toEqual([2, 1]);
    expect(asked[0]).toMatchObject({ model: "m", encoding_format: "base64" });
    expect(asked[0]).not.toHaveProperty("dimensions");
    expect(keys).toEqual(["Bearer k", "Bearer k"]);
    expect(embedder.dimensions).toBe(2);
  });

  test("a server that knows no base64 is asked for numbers, once and for all", async () => {
    const { baseUrl, asked } = await serverOf((each, response, request) => {
      if (each.encoding_format === "float") return asFloats(each, response, request);
      response.writeHead(422);
      response.end("{}");
    });
    const embedder = client(baseUrl);
    await embedder.embed(["a"]);
    await embedder.embed(["b"]);
    expect(asked.map((each) => each.encoding_format)).toEqual(["base64", "float", "float"]);
  });

  test("a text that is refused in either encoding says nothing about the encoding", async () => {
    const { baseUrl, asked } = await serverOf((each, response, request) => {
      if (each.input[0] !== "bad") return asFloats(each, response, request);
      response.writeHead(400);
      response.end("{}");
    });
    const embedder = client(baseUrl);
    await expect(embedder.embed(["bad"])).rejects.toMatchObject({ code: "embeddings.rejected" });
    await embedder.embed(["good"]);
    expect(asked.map((each) => each.encoding_format)).toEqual(["base64", "float", "base64"]);
  });

  test("what passes is tried again, what does not is said at once and without the server's words", async () => {
    let failures = 2;
    const { baseUrl, asked } = await serverOf((each, response, request) => {
      if (each.input[0] === "bad") {
        response.writeHead(401);
        return response.end("the key sk-123 is wrong");
      }
      if (failures-- <= 0) return asFloats(each, response, request);
      response.writeHead(failures === 0 ? 503 : 429, { "retry-after": "0" });
      return response.end();
    });
    const embedder = client(baseUrl);
    expect((await embedder.embed(["ab"])).map(ratio)).toEqual([2]);
    expect(asked).toHaveLength(3);
    const refused = await embedder.embed(["bad"]).catch((error: Error) => error);
    expect(refused).toMatchObject({ code: "embeddings.rejected" });
    expect(String(refused)).not.toContain("sk-123");
    expect(asked).toHaveLength(4);
  });

  test.each([
    ["another number of vectors", { data: [] }],
    ["an index that was not asked for", { data: [{ index: 7, embedding: [1, 2] }] }],
    ["zeros", { data: [{ index: 0, embedding: [0, 0] }] }],
    ["no numbers", { data: [{ index: 0, embedding: { a: 1 } }] }],
    ["no object", null],
    ["another dimension", { data: [{ index: 0, embedding: [1, 2, 3] }] }, "vectors.dimension"],
  ])("%s is refused", async (_, answer, code = "embeddings.rejected") => {
    const { baseUrl } = await serverOf((_each, response) => response.end(JSON.stringify(answer)));
    const embedder = client(baseUrl, { dimensions: 2 });
    await expect(embedder.embed(["a"])).rejects.toMatchObject({ code });
  });

  test("how many texts it takes at once is found by halves and remembered for a while", async () => {
    const { baseUrl, asked } = await serverOf((each, response, request) => {
      if (each.input.length <= 5 && each.input[0] !== "huge") return asFloats(each, response, request);
      response.writeHead(413);
      response.end("{}");
    });
    const embedder = client(baseUrl);
    const sizes = (): number[] => asked.splice(0).map(({ input }) => input.length);
    const texts = Array.from({ length: 20 }, (_, n) => "x".repeat(n + 1));
    expect((await embedder.embed(texts)).map(ratio)).toEqual(texts.map(({ length }) => length));
    expect(sizes()).toEqual([20, 10, 5, 5, 5, 5]);
    await embedder.embed(texts.slice(0, 8));
    expect(sizes()).toEqual([5, 3]);
    // One alone says nothing of how many.
    await expect(embedder.embed(["huge"])).rejects.toMatchObject({ code: "embeddings.rejected" });
    await embedder.embed(texts.slice(0, 8));
    expect(sizes()).toEqual([1, 5, 3]);
    // Nor does it among others.
    await expect(embedder.embed(["huge", ...texts.slice(0, 3)])).rejects.toMatchObject({
      code: "embeddings.rejected",
    });
    await embedder.embed(texts.slice(0, 8));
    expect(sizes()).toEqual([4, 2, 1, 5, 3]);
    const now = performance.now.bind(performance);
    const later = vi.spyOn(performance, "now").mockImplementation(() => now() + 3_600_000);
    cleanups.push(() => later.mockRestore());
    await embedder.embed(texts.slice(0, 8));
    expect(sizes()).toEqual([8, 4, 4]);
  });

  test("a server that comes to hold another model under the name is followed, and what the one before gave is forgotten", async () => {
    let more: number[] = [];
    const { baseUrl, asked } = await serverOf(({ input }, response) =>
      response.end(
        JSON.stringify({ data: vectorsOf(input).map((each) => ({ embedding: [...each, ...more] })) }),
      ),
    );
    const documents = client(baseUrl);
    const remembering = new RememberingEmbedder(documents);
    const questions = questionVectors(client(baseUrl), 20_000);
    const lengths = (vectors: readonly (Float32Array | undefined)[]): unknown[] =>
      vectors.map((vector) => vector?.length);
    const all = (): Promise<unknown[]> =>
      Promise.all(["a", "bb"].map((question) => questions.vectorOf(question))).then(lengths);
    expect(lengths(await remembering.embed(["a", "bb"]))).toEqual([2, 2]);
    expect(await all()).toEqual([2, 2]);
    more = [1];
    expect(lengths(await remembering.embed(["a"]))).toEqual([2]);
    expect(lengths(await remembering.embed(["a", "ccc"]))).toEqual([3, 3]);
    more = [1, 1];
    expect(lengths(await remembering.embed(["dddd"]))).toEqual([4]);
    expect(lengths(await remembering.embed(["a", "ccc"]))).toEqual([4, 4]);
    more = [1];
    expect(lengths(await remembering.embed(["eeeee", "a"]))).toEqual([3, 3]);
    expect(documents.dimensions).toBe(3);
    expect(await all()).toEqual([2, 2]);
    expect(lengths([await questions.vectorOf("new")])).toEqual([3]);
    expect(await all()).toEqual([3, 3]);
    asked.length = 0;
    expect(await all()).toEqual([3, 3]);
    expect(asked).toEqual([]);
  });

  test("a server that comes to hold another model between two requests of a batch is asked no more than once again", async () => {
    let more: number[] = [];
    const { baseUrl, asked } = await serverOf(({ input }, response) => {
      response.end(
        JSON.stringify({ data: vectorsOf(input).map((each) => ({ embedding: [...each, ...more] })) }),
      );
      more = [1];
    });
    const embedder = new RememberingEmbedder(client(baseUrl, { batchTexts: 1 }));
    expect((await embedder.embed(["a", "bb"])).map(({ length }) => length)).toEqual([2, 3]);
    asked.length = 0;
    const again = embedder.embed(["a", "bb", "ccc"], { signal: AbortSignal.timeout(2_000) });
    expect((await again).map(({ length }) => length)).toEqual([3, 3, 3]);
    expect(asked.map(({ input }) => input)).toEqual([["ccc"], ["a"], ["bb"], ["ccc"]]);
  });

  test("a breaker leaves a failing server alone", async () => {
    const { baseUrl, asked } = await serverOf((_, response) => {
      response.writeHead(500);
      response.end();
    });
    const embedder = client(baseUrl, { retries: 0 });
    for (let i = 0; i < 30; i++)
      await expect(embedder.embed(["a"])).rejects.toMatchObject({ code: "embeddings.unavailable" });
    // Three, and on a slow machine a probe now and then.
    expect(asked.length).toBeLessThan(10);
    expect(embedder.breaker).toBe("open");
  });

  test("questions give up early, share one request, and are not asked again by the next in the same turn", async () => {
    const { baseUrl, asked } = await serverOf((each, response, request) => {
      if (each.input[0] === "quick") asFloats(each, response, request);
    });
    const vectors = questionVectors(client(baseUrl), 2_000);
    const both = await Promise.all([vectors.vectorOf("quick"), vectors.vectorOf(" quick ")]);
    expect(both.map(ratio)).toEqual([5, 5]);
    expect(await vectors.vectorOf("slow")).toBeUndefined();
    expect(await vectors.vectorOf("slow")).toBeUndefined();
    expect(await vectors.vectorOf("  ")).toBeUndefined();
    expect(asked.map(({ input }) => input[0])).toEqual(["quick", "slow"]);
  });
});

describe("many documents' texts at once", () => {
  const texts = Array.from({ length: 64 }, (_, n) => "x".repeat(n + 1));

  test.each([
    ["a wrong key", 401, "{}"],
    ["a page of whoever stands before it", 200, "<html>"],
    ["a vector less than asked for", 200, '{"data":[]}'],
    ["vectors that are none", 200, '{"data":[{"embedding":[null]}]}'],
  ])(
    "a model that refuses everything is told from a text that is refused in a few requests: %s",
    async (_, status, answer) => {
      const { baseUrl, asked } = await serverOf((_each, response) => {
        response.writeHead(status);
        response.end(answer);
      });
      const batches = new TextBatches(client(baseUrl));
      const all = (): Promise<unknown[]> =>
        Promise.all(texts.map((text) => batches.embed([text]).catch((error: JetclawError) => error.code)));
      expect(new Set(await all())).toEqual(new Set(["embeddings.unavailable"]));
      // Each change that waits tries for itself.
      await all();
      expect(asked.length).toBeLessThan(8);
    },
  );

  test("a text that is refused costs the others nothing", async () => {
    const { baseUrl } = await serverOf((each, response, request) => {
      if (!each.input.includes("x".repeat(7))) return asFloats(each, response, request);
      response.writeHead(400);
      response.end("{}");
    });
    const batches = new TextBatches(client(baseUrl));
    const all = texts.map((text) =>
      batches.embed([text]).then(
        ([vector]) => ratio(vector),
        (error) => error.code,
      ),
    );
    expect(await Promise.all(all)).toEqual(
      texts.map(({ length }) => (length === 7 ? "embeddings.rejected" : length)),
    );
  });
});

test("an embedder with a memory asks for each text once", async () => {
  const asked: string[] = [];
  const inner: Embedder = {
    model: "m",
    dimensions: 2,
    async embed(texts) {
      asked.push(...texts);
      return vectorsOf(texts).map((numbers) => Float32Array.from(numbers));
    },
  };
  const embedder = new RememberingEmbedder(inner);
  expect((await embedder.embed(["a", "bb", "a"])).map(ratio)).toEqual([1, 2, 1]);
  expect((await embedder.embed(["ccc", "bb"])).map(ratio)).toEqual([3, 2]);
  expect(asked).toEqual(["a", "bb", "ccc"]);
});

describe("half precision", () => {
  test("every number it has comes back, and others are rounded to the nearest", () => {
    const all = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, n) => n).buffer);
    const numbers = decodeHalf(all);
    const again = new Uint16Array(encodeHalf(numbers).buffer);
    expect(again.findIndex((half, n) => !Number.isNaN(numbers[n]) && half !== n)).toBe(-1);
    expect(Number.isNaN(decodeHalf(encodeHalf(Float32Array.of(Number.NaN)))[0])).toBe(true);
    fc.assert(
      fc.property(fc.float({ min: -1, max: 1, noNaN: true }), (x) => {
        const error = Math.abs(decodeHalf(encodeHalf(Float32Array.of(x)))[0]! - x);
        return error <= Math.max(Math.abs(x) / 2_048, 2 ** -25);
      }),
    );
  });
});

describe("recorded vectors", () => {
  test("are found by the SHA-256 of their text", async () => {
    const prefix = join(await mkdtemp(join(tmpdir(), "jetclaw-vectors-")), "model");
    const texts = ["one", "two"];
    const rows = [unitLength(Float32Array.of(1, 2, 3))!, unitLength(Float32Array.of(-1, 0, 1))!];
    await writeFile(`${prefix}.f16`, Buffer.concat(rows.map(encodeHalf)));
    const keys = texts.map((text) => createHash("sha256").update(text).digest("hex"));
    await writeFile(`${prefix}.keys.txt`, `${keys.join("\n")}\n`);
    const embedder = await recordedEmbedder(prefix);
    expect(embedder).toMatchObject({ model: "model", dimensions: 3 });
    const [two, one] = await embedder.embed(["two", "one"]);
    expect(dot(two!, rows[1]!)).toBeCloseTo(1, 3);
    expect(dot(one!, rows[0]!)).toBeCloseTo(1, 3);
    await expect(embedder.embed(["three"])).rejects.toMatchObject({ code: "embeddings.rejected" });
    await expect(recordedEmbedder(`${prefix}-not`)).rejects.toMatchObject({ code: "config.invalid" });
  });
});

test("a record holds vectors of one length: known texts are embedded again where the model gives others", async () => {
  const event = {
    v: 1,
    tenant: "t",
    collection: "c",
    document: "d",
    deleted: false,
    title: "A",
    at: 0,
  } as const;
  const asked: number[] = [];
  const embed =
    (dimensions: number) =>
    async (texts: readonly string[]): Promise<Float32Array[]> => {
      asked.push(texts.length);
      return texts.map(() => unitLength(new Float32Array(dimensions).fill(1))!);
    };
  const first = await recordOf({ ...event, text: "# One\nx" }, 1, undefined, embed(2));
  const second = await recordOf({ ...event, text: "# One\nx\n\n# Two\ny" }, 2, first, embed(3));
  expect(second.vectors.map(({ length }) => length)).toEqual([3, 3]);
  const third = await recordOf({ ...event, text: "# Two\ny\n\n# Three\nz" }, 3, second, embed(3));
  expect(third.vectors.map(({ length }) => length)).toEqual([3, 3]);
  expect(asked).toEqual([1, 1, 2, 1]);
});
