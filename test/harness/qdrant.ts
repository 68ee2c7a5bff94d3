// Qdrant for a test: a small server that holds every request against Qdrant's own description of its API, where that is
// at hand, and lets tests come between. Behind it stands Qdrant's own server where QDRANT_BIN names its program; else it
// is played.
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { stretchPatience } from "#runtime/within.ts";
import { openApiCheck, type Schema } from "./openapi-check.ts";
import { PlayedQdrant } from "./qdrant-played.ts";
import { startQdrantServer } from "./qdrant-server.ts";
import { SLOW_MACHINE } from "./wait.ts";

const DESCRIPTION = fileURLToPath(
  new URL("../../../shared/data/wire/qdrant-openapi-v1.19.json", import.meta.url),
);

export type Json = Record<string, unknown>;
export interface Route {
  /** `METHOD /path`, path parameters by name. */
  readonly name: string;
  readonly collection: string;
  /** With its query, as it came. */
  readonly path: string;
}
export interface Answer {
  readonly code: number;
  readonly body: Json;
}

/** Who keeps collections and points: played here, or Qdrant's own server. */
export interface QdrantStore {
  answer(route: Route, body: Json | undefined): Promise<Answer>;
  /** Killed; what was acknowledged is there after `resume`. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

/** @returns whether it has answered, or never will */
type Interfering = (path: string, response: ServerResponse, body: Json | undefined) => boolean;

export interface TestQdrant {
  readonly url: string;
  /** `METHOD /path` of every request, path parameters by name. */
  readonly requests: string[];
  /** Where requests leave the description; empty is right. Undefined without the description. */
  readonly faults: string[] | undefined;
  collections(): Promise<string[]>;
  /** Collections by the names in front of them. */
  aliases(): Promise<Map<string, string>>;
  /** In all collections. */
  points(): Promise<number>;
  /** Somebody puts an empty collection of vectors of another length in the place of this one, behind the same aliases. */
  replace(collection: string, size: number): Promise<void>;
  /** Answers what comes instead of the real answer; undefined goes on as ever. */
  interfere(answer: Interfering | undefined): void;
  /** As after a restart without its disk. */
  lose(): Promise<void>;
  /** Killed; what was acknowledged is there after `resume`. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

export async function startTestQdrant(options: { apiKey?: string } = {}): Promise<TestQdrant> {
  stretchPatience(SLOW_MACHINE);
  const description = existsSync(DESCRIPTION)
    ? (JSON.parse(readFileSync(DESCRIPTION, "utf8")) as Schema)
    : undefined;
  const faults: string[] | undefined = description && [];
  const check = description && requestCheck(description);
  const requests: string[] = [];
  const program = process.env.QDRANT_BIN;
  const store: QdrantStore = program ? await startQdrantServer(program) : new PlayedQdrant();
  let interfering: Interfering | undefined;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://qdrant");
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = text === "" ? undefined : (JSON.parse(text) as Json);
    const route = routeOf(request.method ?? "", url);
    requests.push(route.name);
    if (check) faults?.push(...check(route.name, [...url.searchParams.keys()], body));
    if (interfering?.(route.name, response, body)) return;
    const refused = options.apiKey !== undefined && request.headers["api-key"] !== options.apiKey;
    const answer = refused ? NO_KEY : await store.answer(route, body);
    response.writeHead(answer.code, { "content-type": "application/json" });
    response.end(JSON.stringify(answer.body));
  };
  let server: Server | undefined;
  let port = 0;
  const listen = async (): Promise<void> => {
    server = createServer((request, response) => void handle(request, response));
    await new Promise<void>((resolve) => server?.listen(port, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  };
  const halt = async (): Promise<void> => {
    server?.closeAllConnections();
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    server = undefined;
  };
  await listen();
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    faults,
    ...upkeepOf(store),
    interfere(answering) {
      interfering = answering;
    },
    async halt() {
      await halt();
      await store.halt();
    },
    async resume() {
      await store.resume();
      await listen();
    },
    async stop() {
      await halt();
      await store.stop();
    },
  };
}

const NO_KEY: Answer = { code: 401, body: { time: 0, status: { error: "Must provide an API key" } } };

/** What tests do and see past the server in front. */
function upkeepOf(
  store: QdrantStore,
): Pick<TestQdrant, "collections" | "aliases" | "points" | "replace" | "lose"> {
  const send = async (method: string, path: string, body?: Json): Promise<Json> => {
    const route = routeOf(method, new URL(path, "http://qdrant"));
    const { code, body: said } = await store.answer(route, body);
    if (code !== 200) throw new Error(`${route.name}: ${code} ${JSON.stringify(said)}`);
    return said.result as Json;
  };
  const collections = async (): Promise<string[]> =>
    ((await send("GET", "/collections")).collections as { name: string }[]).map(({ name }) => name);
  const aliases = async (): Promise<Map<string, string>> => {
    const known = (await send("GET", "/aliases")).aliases as {
      alias_name: string;
      collection_name: string;
    }[];
    return new Map(known.map(({ alias_name, collection_name }) => [alias_name, collection_name]));
  };
  const drop = (name: string): Promise<Json> => send("DELETE", `/collections/${name}`);
  return {
    collections,
    aliases,
    async points() {
      let sum = 0;
      for (const name of await collections())
        sum += Number((await send("POST", `/collections/${name}/points/count`, { exact: true })).count);
      return sum;
    },
    async replace(name, size) {
      const before = [...(await aliases())].filter(([, collection]) => collection === name);
      await drop(name);
      await send("PUT", `/collections/${name}`, { vectors: { size, distance: "Cosine" } });
      for (const field_name of ["tenant", "collection", "key"])
        await send("PUT", `/collections/${name}/index`, { field_name, field_schema: "keyword" });
      await send("PUT", `/collections/${name}/index`, { field_name: "passage", field_schema: "integer" });
      const actions = before.map(([alias_name, collection_name]) => ({
        create_alias: { alias_name, collection_name },
      }));
      await send("POST", "/collections/aliases", { actions });
    },
    async lose() {
      for (const name of await collections()) await drop(name);
    },
  };
}

function routeOf(method: string, { pathname, search }: URL): Route {
  const parts = pathname.split("/").filter((part) => part !== "");
  const named = parts[0] === "collections" && parts.length > 1 && parts[1] !== "aliases";
  const shown = named ? ["collections", "{collection_name}", ...parts.slice(2)] : parts;
  return {
    name: `${method} /${shown.join("/")}`,
    collection: named ? decodeURIComponent(parts[1] ?? "") : "",
    path: `${pathname}${search}`,
  };
}

/** Faults of a request: path, query parameters and body. */
function requestCheck(description: Schema): (route: string, query: string[], body: unknown) => string[] {
  const check = openApiCheck(description, { strict: true });
  const paths = description.paths as Record<string, Record<string, Json>>;
  return (route, query, body) => {
    const [method = "", path = ""] = route.split(" ");
    const operation = paths[path]?.[method.toLowerCase()];
    if (!operation) return [`${route} is not in the description`];
    const known = ((operation.parameters ?? []) as { name: string; in: string }[])
      .filter((parameter) => parameter.in === "query")
      .map(({ name }) => name);
    const unknown = query
      .filter((name) => !known.includes(name))
      .map((name) => `${route}: no parameter ${name}`);
    const content = (operation.requestBody as { content?: Json } | undefined)?.content;
    const schema = (content?.["application/json"] as { schema?: { $ref?: string } } | undefined)?.schema;
    if (!schema) return body === undefined ? unknown : [...unknown, `${route} takes no body`];
    const faults = check(schema.$ref?.replace("#/components/schemas/", "") ?? "", body);
    return [...unknown, ...faults.map((fault) => `${route}: ${fault}`)];
  };
}
