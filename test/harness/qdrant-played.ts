// Qdrant as these tests know it, in memory: what it stores, filters, searches and refuses. Stricter in one thing, as Qdrant's
// strict mode is: it filters by indexed fields only.
import type { Answer, Json, QdrantStore, Route } from "./qdrant.ts";

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

/** What Qdrant keeps, and its operations as far as they are used. */
export class PlayedQdrant implements QdrantStore {
  readonly #collections = new Map<string, Collection>();
  readonly #aliases = new Map<string, string>();
  #operations = 0;

  async answer(route: Route, body: Json | undefined): Promise<Answer> {
    try {
      return { code: 200, body: said("ok", this.#run(route, body ?? {})) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { code: error.status, body: said({ error: error.message }) };
    }
  }

  async halt(): Promise<void> {}
  async resume(): Promise<void> {}
  async stop(): Promise<void> {}

  #run(route: Route, body: Json): unknown {
    const { collection: name } = route;
    switch (route.name) {
      case "GET /aliases":
        return {
          aliases: [...this.#aliases].map(([alias_name, collection_name]) => ({
            alias_name,
            collection_name,
          })),
        };
      case "GET /collections":
        return { collections: [...this.#collections.keys()].map((each) => ({ name: each })) };
      case "POST /collections/aliases":
        return this.#alias(body.actions as Json[]);
      case "PUT /collections/{collection_name}":
        return this.#create(name, body);
      case "DELETE /collections/{collection_name}": {
        for (const [alias, target] of this.#aliases) if (target === name) this.#aliases.delete(alias);
        return this.#collections.delete(name);
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
    const found = this.#collections.get(this.#aliases.get(name) ?? name);
    if (!found) throw new Refused(404, `Not found: Collection \`${name}\` doesn't exist!`);
    return found;
  }

  #done(): { operation_id: number; status: string } {
    return { operation_id: this.#operations++, status: "completed" };
  }

  #create(name: string, body: Json): boolean {
    if (this.#collections.has(name) || this.#aliases.has(name))
      throw new Refused(409, `Wrong input: Collection \`${name}\` already exists!`);
    const { size } = body.vectors as { size: number };
    this.#collections.set(name, { size, indexes: new Set(), points: new Map() });
    return true;
  }

  /** All of them or none. */
  #alias(actions: Json[]): boolean {
    const next = new Map(this.#aliases);
    for (const action of actions) {
      const { create_alias, delete_alias } = action as {
        create_alias?: { alias_name: string; collection_name: string };
        delete_alias?: { alias_name: string };
      };
      if (delete_alias) next.delete(delete_alias.alias_name);
      if (!create_alias) continue;
      if (!this.#collections.has(create_alias.collection_name)) throw new Refused(404, "no such collection");
      if (this.#collections.has(create_alias.alias_name))
        throw new Refused(409, "a collection has that name");
      next.set(create_alias.alias_name, create_alias.collection_name);
    }
    this.#aliases.clear();
    for (const [alias, name] of next) this.#aliases.set(alias, name);
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
    const { filter = {}, limit, offset } = body as { filter?: Filter; limit: number; offset?: string };
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

export const said = (status: unknown, result?: unknown): Json => ({
  time: 0.001,
  status,
  ...(result === undefined ? {} : { result }),
});

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
