// A model that embeds by meaning, as far as its few concepts go: words of one concept share an axis, every other word
// has a place of its own. Behind HTTP, so that it can be slow, refuse and fall silent as a real server does.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fnv1a } from "#contracts/ids.ts";

const CONCEPTS: readonly (readonly string[])[] = [
  ["parcel", "package", "delivery", "shipment", "deliver", "ship", "pakket", "levering", "bezorging"],
  ["refund", "money", "reimbursement", "reimburse", "back", "terugbetaling", "geld"],
  ["password", "login", "credentials", "wachtwoord"],
  ["warranty", "broken", "defect", "repair", "garantie", "stuk"],
  ["secret", "hidden", "geheim"],
];
const DIMENSIONS = 64;
/** A concept weighs so much more than a word that says nothing. */
const CONCEPT_WEIGHT = 4;

export function meaningOf(text: string, dimensions = DIMENSIONS): number[] {
  const vector = Array.from({ length: dimensions }, () => 0 as number);
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    const concept = CONCEPTS.findIndex((words) => words.includes(word));
    const axis = concept >= 0 ? concept : CONCEPTS.length + (fnv1a(word) % (dimensions - CONCEPTS.length));
    vector[axis] = (vector[axis] ?? 0) + (concept >= 0 ? CONCEPT_WEIGHT : 1);
  }
  return vector.every((x) => x === 0) ? vector.map(() => 1) : vector;
}

export interface EmbeddingModel {
  readonly baseUrl: string;
  /** Every text it was asked for, in order. */
  readonly texts: string[];
  /** `fine`, an HTTP status, or `silent`: takes requests and never answers. */
  mood: "fine" | "silent" | number;
  /** Refuses every request with a text that holds it. */
  refuses: string | undefined;
  /** Numbers of a vector. */
  dimensions: number;
  /** A request with more texts is too large for it (413). */
  mostTexts: number;
  /** Of each answer. */
  delayMs: number;
  /** No answer comes before it. */
  until: Promise<void> | undefined;
  stop(): Promise<void>;
}

/** @param dimensions the more, the fewer words share a place */
export async function embeddingModel(dimensions = DIMENSIONS): Promise<EmbeddingModel> {
  const texts: string[] = [];
  const server: Server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (model.mood === "silent") return;
    if (request.method === "GET") return response.end('{"data":[]}');
    if (model.mood !== "fine") {
      response.writeHead(model.mood);
      return response.end("{}");
    }
    if (model.delayMs > 0) await new Promise((answer) => setTimeout(answer, model.delayMs));
    await model.until;
    const { input } = JSON.parse(body) as { input: string[] };
    if (input.some((text) => model.refuses && text.includes(model.refuses))) {
      response.writeHead(400);
      return response.end("{}");
    }
    if (input.length > model.mostTexts) {
      response.writeHead(413);
      return response.end("{}");
    }
    texts.push(...input);
    const data = input.map((text, index) => ({ index, embedding: meaningOf(text, model.dimensions) }));
    return response.end(JSON.stringify({ data }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const model: EmbeddingModel = {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    texts,
    dimensions,
    mood: "fine",
    refuses: undefined,
    mostTexts: Number.POSITIVE_INFINITY,
    delayMs: 0,
    until: undefined,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return model;
}
