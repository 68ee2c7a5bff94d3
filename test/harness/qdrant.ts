// A small server that answers as Qdrant 1.18 does: it stores, filters and searches, and holds every request against
// Qdrant's own description of its API where that is at hand. Stricter in one thing, as Qdrant's strict mode is: it
// filters by indexed fields only.
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { stretchPatience } from "#runtime/within.ts";
import { openApiCheck, type Schema } from "./openapi-check.ts";
import { SLOW_MACHINE } from "./wait.ts";

const DESCRIPTION = fileURLToPath(
  new URL("../../../shared/data/wire/qdrant-openapi-v1.19.json", import.meta.url),
);

type Json = Record<string, unknown>;
interface Point {
  readonly id: string;
  readonly vector: number[];
  readonly payload: Json;
}
interface Collection {
  readonly size: number;
  readonly indexes: Set<string>;
  readonly points: Map<string, Point>;
}
interface Condition extends Filter {
  readonly key?: string;
  readonly match?: { value?: unknown; any?: unknown[] };
  readonly range?: { lt?: number; lte?: number; gt?: number; gte?: number };
}
interface Filter {
  readonly must?: Condition[];
  readonly should?: Condition[];
  readonly must_not?: Condition[];
}

class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @returns whether it has answered, or never will */
type Interfering = (path: string, response: ServerResponse, body: Json | undefined) => boolean;

export interface FakeQdrant {
  readonly url: string;
  /** `METHOD /path` of every request, path parameters by name. */
  readonly requests: string[];
  /** Where requests leave the description; empty is right. Undefined without the description. */
  readonly faults: string[] | undefined;
  readonly collections: ReadonlyMap<string, Collection>;
  readonly aliases: ReadonlyMap<string, string>;
  /** Answers what comes instead of the real answer; undefined goes on as ever. */
  interfere(answer: Interfering | undefined): void;
  /** As after a restart without its disk. */
  lose(): void;
  /** Nobody listens any more; what was stored stays. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

export async function fakeQdrant(options: { apiKey?: string } = {}): Promise<FakeQdrant> {
  stretchPatience(SLOW_MACHINE);
  const description = existsSync(DESCRIPTION)
    ? (JSON.parse(readFileSync(DESCRIPTION, "utf8")) as Schema)
    : undefined;
  const faults: string[] | undefined = description && [];
  const check = description && requestCheck(description);
  const requests: string[] = [];
  const store = new Store();
  let interfering: Interfering | undefined;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://qdrant");
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = text === "" ? undefined : (JSON.parse(text) as Json);
    const route = routeOf(request.method ?? "", url.pathname);
    requests.push(route.name);
    if (check) faults?.push(...check(route.name, [...url.searchParams.keys()], body));
    if (interfering?.(route.name, response, body)) return;
    if (options.apiKey !== undefined && request.headers["api-key"] !== options.apiKey)
      return answer(response, 401, { error: "Must provide an API key" });
    try {
      answer(response, 200, "ok", store.run(route, body ?? {}));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      answer(response, error.status, { error: error.message });
    }
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
    collections: store.collections,
    aliases: store.aliases,
    interfere(answering) {
      interfering = answering;
    },
    lose() {
      store.collections.clear();
      store.aliases.clear();
    },
    halt,
    resume: listen,
    stop: halt,
  };
}

function answer(response: ServerResponse, code: number, status: unknown, result: unknown = null): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify({ time: 0.001, status, ...(code === 200 ? { result } : {}) }));
}

interface Route {
  readonly name: string;
  readonly collection: string;
}

function routeOf(method: string, path: string): Route {
  const parts = path.split("/").filter((part) => part !== "");
  const named = parts[0] === "collections" && parts.length > 1 && parts[1] !== "aliases";
  const shown = named ? ["collections", "{collection_name}", ...parts.slice(2)] : parts;
  return {
    name: `${method} /${shown.join("/")}`,
    collection: named ? decodeURIComponent(parts[1] ?? "") : "",
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

/** What Qdrant keeps, and its operations as far as they are used. */
class Store {
  readonly collections = new Map<string, Collection>();
  readonly aliases = new Map<string, string>();
  #operations = 0;

  run(route: Route, body: Json): unknown {
    const { collection: name } = route;
    switch (route.name) {
      case "GET /aliases":
        return {
          aliases: [...this.aliases].map(([alias_name, collection_name]) => ({
            alias_name,
            collection_name,
          })),
        };
      case "GET /collections":
        return { collections: [...this.collections.keys()].map((each) => ({ name: each })) };
      case "POST /collections/aliases":
        return this.#alias(body.actions as Json[]);
      case "PUT /collections/{collection_name}":
        return this.#create(name, body);
      case "DELETE /collections/{collection_name}": {
        for (const [alias, target] of this.aliases) if (target === name) this.aliases.delete(alias);
        return this.collections.delete(name);
      }
      case "GET /collections/{collection_name}": {
        const { size, points } = this.#named(name);
        return {
          status: "green",
          optimizer_status: "ok",
          points_count: points.size,
          config: { params: { vectors: { size, distance: "Cosine" } } },
        };
      }
      case "PUT /collections/{collection_name}/index":
        this.#named(name).indexes.add(String(body.field_name));
        return this.#done();
      case "PUT /collections/{collection_name}/points":
        return this.#upsert(this.#named(name), body.points as Point[]);
      case "POST /collections/{collection_name}/points/delete": {
        const collection = this.#named(name);
        for (const { id } of this.#matching(collection, body.filter as Filter)) collection.points.delete(id);
        return this.#done();
      }
      case "POST /collections/{collection_name}/points/count":
        return { count: this.#matching(this.#named(name), (body.filter ?? {}) as Filter).length };
      case "POST /collections/{collection_name}/points/scroll":
        return this.#scroll(this.#named(name), body);
      case "POST /collections/{collection_name}/points/query":
        return this.#query(this.#named(name), body);
      default:
        throw new Refused(404, "no such route");
    }
  }

  #named(name: string): Collection {
    const found = this.collections.get(this.aliases.get(name) ?? name);
    if (!found) throw new Refused(404, `Not found: Collection \`${name}\` doesn't exist!`);
    return found;
  }

  #done(): { operation_id: number; status: string } {
    return { operation_id: this.#operations++, status: "completed" };
  }

  #create(name: string, body: Json): boolean {
    if (this.collections.has(name) || this.aliases.has(name))
      throw new Refused(409, `Wrong input: Collection \`${name}\` already exists!`);
    const { size } = body.vectors as { size: number };
    this.collections.set(name, { size, indexes: new Set(), points: new Map() });
    return true;
  }

  /** All of them or none. */
  #alias(actions: Json[]): boolean {
    const next = new Map(this.aliases);
    for (const action of actions) {
      const { create_alias, delete_alias } = action as {
        create_alias?: { alias_name: string; collection_name: string };
        delete_alias?: { alias_name: string };
      };
      if (delete_alias) next.delete(delete_alias.alias_name);
      if (!create_alias) continue;
      if (!this.collections.has(create_alias.collection_name)) throw new Refused(404, "no such collection");
      if (this.collections.has(create_alias.alias_name)) throw new Refused(409, "a collection has that name");
      next.set(create_alias.alias_name, create_alias.collection_name);
    }
    this.aliases.clear();
    for (const [alias, name] of next) this.aliases.set(alias, name);
    return true;
  }

  #upsert(collection: Collection, points: Point[]): unknown {
    for (const { id, vector } of points) {
      if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
        throw new Refused(400, `${id} is no point id`);
      if (vector.length !== collection.size)
        throw new Refused(
          400,
          `Wrong input: Vector dimension error: expected dim: ${collection.size}, got ${vector.length}`,
        );
    }
    for (const point of points) collection.points.set(point.id, point);
    return this.#done();
  }

  #scroll(collection: Collection, body: Json): unknown {
    const { filter, limit, offset } = body as { filter: Filter; limit: number; offset?: string };
    const found = this.#matching(collection, filter)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .filter(({ id }) => offset === undefined || id >= offset);
    return {
      points: found.slice(0, limit).map(({ id, payload }) => ({ id, payload })),
      next_page_offset: found[limit]?.id ?? null,
    };
  }

  #query(collection: Collection, body: Json): unknown {
    const { query, filter, limit } = body as { query: number[]; filter: Filter; limit: number };
    if (query.length !== collection.size)
      throw new Refused(
        400,
        `Wrong input: Vector dimension error: expected dim: ${collection.size}, got ${query.length}`,
      );
    const points = this.#matching(collection, filter)
      .map(({ id, vector, payload }) => ({ id, version: 0, payload, score: cosine(vector, query) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, limit);
    return { points };
  }

  #matching(collection: Collection, filter: Filter): Point[] {
    for (const key of keysOf(filter))
      if (!collection.indexes.has(key)) throw new Refused(400, `Index required but not found for "${key}"`);
    return [...collection.points.values()].filter(({ payload }) => holds(filter, payload));
  }
}

const keysOf = (filter: Condition): string[] => [
  ...(filter.key === undefined ? [] : [filter.key]),
  ...[...(filter.must ?? []), ...(filter.should ?? []), ...(filter.must_not ?? [])].flatMap(keysOf),
];

function holds(condition: Condition, payload: Json): boolean {
  const { key, match, range, must = [], should = [], must_not = [] } = condition;
  if (key !== undefined) {
    const value = payload[key];
    if (match?.any) return match.any.includes(value);
    if (match && "value" in match) return match.value === value;
    if (!range || typeof value !== "number") return false;
    const { lt = Infinity, gt = -Infinity, lte = Infinity, gte = -Infinity } = range;
    return value < lt && value > gt && value <= lte && value >= gte;
  }
  return (
    must.every((each) => holds(each, payload)) &&
    (should.length === 0 || should.some((each) => holds(each, payload))) &&
    !must_not.some((each) => holds(each, payload))
  );
}

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, each, n) => sum + each * (y[n] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
