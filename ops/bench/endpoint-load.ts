/** Load on one address: a closed loop of whole answers, and the time to the first token one at a time. */
import { Pool } from "undici";
import { quantile, round } from "./shape.ts";

export interface Loaded {
  readonly requests: number;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Target {
  loop(clients: number, seconds: number): Promise<Loaded>;
  /** Median time until the first content of a stream is here, in ms. */
  firstToken(times: number): Promise<number>;
  /** Times until a request that cannot be right was refused, one at a time, in ms. */
  refusals(times: number): Promise<readonly number[]>;
  close(): Promise<void>;
}

const HEADERS = { authorization: "Bearer demo", "content-type": "application/json" };
const PATH = "/v1/chat/completions";
/** Nesting of the worst of the invalid bodies. */
const DEEP = 100_000;

export function targetOf(url: string, clients: number, question: string): Target {
  const pool = new Pool(url, { connections: clients });
  const request = { model: "bench", messages: [{ role: "user", content: question }] };
  const [whole, streamed] = [JSON.stringify(request), JSON.stringify({ ...request, stream: true })];
  const invalid = [
    { ...request, temperature: "warm" },
    { ...request, messages: [{ role: "nobody", content: question }] },
    "{",
    `{"model":"bench","messages":${"[".repeat(DEEP)}${"]".repeat(DEEP)}}`,
  ].map((body) => (typeof body === "string" ? body : JSON.stringify(body)));

  const answer = async (): Promise<void> => {
    const { statusCode, body } = await pool.request({
      method: "POST",
      path: PATH,
      headers: HEADERS,
      body: whole,
    });
    const text = await body.text();
    if (statusCode !== 200 || !text.includes('"chat.completion"'))
      throw new Error(`${url}: ${statusCode} ${text.slice(0, 200)}`);
  };

  const firstToken = async (): Promise<number> => {
    const from = performance.now();
    const { body } = await pool.request({ method: "POST", path: PATH, headers: HEADERS, body: streamed });
    let at = 0;
    let text = "";
    for await (const piece of body) {
      text += String(piece);
      if (at === 0 && /"content":"[^"]/.test(text)) at = performance.now() - from;
    }
    if (!text.includes("[DONE]")) throw new Error(`${url}: a stream without an end`);
    // Nothing that came would be the fastest of all.
    if (at === 0) throw new Error(`${url}: a stream without a word`);
    return at;
  };

  const refusal = async (sent: string): Promise<number> => {
    const from = performance.now();
    const { statusCode, body } = await pool.request({
      method: "POST",
      path: PATH,
      headers: HEADERS,
      body: sent,
    });
    const text = await body.text();
    const took = performance.now() - from;
    if (statusCode !== 400 || !text.includes("invalid_request_error"))
      throw new Error(`${url}: ${statusCode} for an invalid request: ${text.slice(0, 200)}`);
    return took;
  };

  return {
    async loop(inFlight, seconds) {
      const times: number[] = [];
      const until = performance.now() + seconds * 1_000;
      const client = async (): Promise<void> => {
        for (let from = performance.now(); from < until; from = performance.now()) {
          await answer();
          times.push(performance.now() - from);
        }
      };
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: inFlight }, client));
      const took = (performance.now() - startedAt) / 1_000;
      return {
        requests: times.length,
        rps: round(times.length / took, 1),
        p50Ms: round(quantile(times, 0.5)),
        p99Ms: round(quantile(times, 0.99)),
      };
    },
    async firstToken(times) {
      const all: number[] = [];
      for (let n = 0; n < times; n++) all.push(await firstToken());
      return quantile(all, 0.5);
    },
    async refusals(times) {
      const all: number[] = [];
      for (let n = 0; n < times; n++) all.push(await refusal(invalid[n % invalid.length] ?? ""));
      return all;
    },
    close: () => pool.destroy(),
  };
}
