/** The collection of a model and dimension: made with its indexes, put behind its alias, switched. */
import { JetclawError } from "#contracts/errors.ts";
import { isMissing, type QdrantRefusal, type QdrantRequests } from "./qdrant-client.ts";
import { aliasOf, generationOf, numberOf } from "./qdrant-names.ts";

/** What searches and deletions filter by. The tenant's vectors are stored together, as every search has a tenant. */
const PAYLOAD_INDEXES = [
  { field_name: "tenant", field_schema: { type: "keyword", is_tenant: true } },
  { field_name: "collection", field_schema: "keyword" },
  { field_name: "language", field_schema: "keyword" },
  { field_name: "key", field_schema: "keyword" },
  { field_name: "revision", field_schema: "integer" },
  { field_name: "passage", field_schema: "integer" },
] as const;

export interface CollectionOptions {
  /** Collections and aliases begin with it. */
  readonly prefix: string;
  readonly model: string;
  /** A collection of this number is written to instead of the one behind the alias: a new one being filled. */
  readonly generation?: number | undefined;
  /** While vectors of one length are in use none of another are taken in: who fills a collection with them puts it in use. */
  readonly oneLength?: boolean | undefined;
}

export class QdrantCollections {
  readonly #requests: QdrantRequests;
  readonly #options: CollectionOptions;
  readonly #ensured = new Map<number, Promise<string>>();

  constructor(requests: QdrantRequests, options: CollectionOptions) {
    this.#requests = requests;
    this.#options = options;
  }

  aliasFor(dimensions: number): string {
    return aliasOf(this.#options.prefix, this.#options.model, dimensions);
  }

  /**
   * Makes sure of the collection and its alias, once. @returns the name to write to
   * @throws JetclawError `vectors.dimension` where a collection of that name holds other vectors
   */
  ensure(dimensions: number): Promise<string> {
    const known = this.#ensured.get(dimensions);
    if (known) return known;
    const made = this.#ensure(dimensions);
    this.#ensured.set(dimensions, made);
    made.catch(() => this.#ensured.delete(dimensions));
    return made;
  }

  /** What was made sure of is asked for anew: it is not there any more. */
  forget(dimensions: number): void {
    this.#ensured.delete(dimensions);
  }

  /** Dimensions of which the model has a collection behind an alias. */
  async dimensions(): Promise<number[]> {
    const { aliases } = await this.#requests.send("aliases", (client) => client.getAliases());
    const prefix = aliasOf(this.#options.prefix, this.#options.model, "");
    return aliases.flatMap(({ alias_name }) => {
      const dimensions = Number(alias_name.startsWith(prefix) ? alias_name.slice(prefix.length) : Number.NaN);
      return Number.isInteger(dimensions) && dimensions > 0 ? [dimensions] : [];
    });
  }

  /** The name to write to; undefined while there is none. */
  async existing(dimensions: number): Promise<string | undefined> {
    const { generation } = this.#options;
    if (generation !== undefined) return generationOf(this.aliasFor(dimensions), generation);
    return (await this.behind(dimensions)) === undefined ? undefined : this.aliasFor(dimensions);
  }

  /** Number of the collection behind the alias. */
  async behind(dimensions: number): Promise<number | undefined> {
    const alias = this.aliasFor(dimensions);
    const { aliases } = await this.#requests.send("aliases", (client) => client.getAliases());
    const found = aliases.find(({ alias_name }) => alias_name === alias);
    return found && numberOf(alias, found.collection_name);
  }

  /** Numbers of the collections of this model and dimension, behind the alias or not. */
  async numbers(dimensions: number): Promise<number[]> {
    const alias = this.aliasFor(dimensions);
    const { collections } = await this.#requests.send("collections", (client) => client.getCollections());
    return collections.flatMap(({ name }) => numberOf(alias, name) ?? []);
  }

  /** Makes a collection with its indexes, where it is not there. @throws JetclawError `vectors.dimension` */
  async make(dimensions: number, n: number): Promise<string> {
    const name = generationOf(this.aliasFor(dimensions), n);
    await this.#unlessThere("create", (client) =>
      client.createCollection(name, { vectors: { size: dimensions, distance: "Cosine" } }),
    );
    await this.#assertSize(name, dimensions);
    for (const index of PAYLOAD_INDEXES)
      await this.#requests.send("index", (client) =>
        client.createPayloadIndex(name, {
          wait: true,
          field_name: index.field_name,
          field_schema: index.field_schema,
        }),
      );
    return name;
  }

  /** The alias shows the collection from now on, in one step for everybody. */
  async switchTo(dimensions: number, n: number): Promise<void> {
    const alias_name = this.aliasFor(dimensions);
    const create = { create_alias: { alias_name, collection_name: generationOf(alias_name, n) } };
    const known = (await this.behind(dimensions)) !== undefined;
    await this.#requests.send("alias", (client) =>
      client.updateCollectionAliases({
        actions: known ? [{ delete_alias: { alias_name } }, create] : [create],
      }),
    );
  }

  /** All collections of the model. @param kept of these dimensions they stay @returns how many went */
  async dropAll(kept?: number): Promise<number> {
    let dropped = 0;
    for (const dimensions of (await this.dimensions()).filter((each) => each !== kept))
      for (const n of await this.numbers(dimensions)) {
        await this.drop(dimensions, n);
        dropped++;
      }
    return dropped;
  }

  async drop(dimensions: number, n: number): Promise<void> {
    const name = generationOf(this.aliasFor(dimensions), n);
    await this.#requests
      .send("drop", (client) => client.deleteCollection(name))
      .catch((error) => {
        if (!isMissing(error)) throw error;
      });
  }

  async #ensure(dimensions: number): Promise<string> {
    const { generation } = this.#options;
    if (generation !== undefined) return this.make(dimensions, generation);
    const alias = this.aliasFor(dimensions);
    const there = await this.behind(dimensions);
    if (there !== undefined) await this.#assertSize(alias, dimensions);
    else {
      if (this.#options.oneLength) await this.#assertOnly(dimensions);
      await this.make(dimensions, 1);
      // Whoever fills a newer one may have been through meanwhile.
      if ((await this.behind(dimensions)) === undefined) await this.switchTo(dimensions, 1);
    }
    return alias;
  }

  /** @throws JetclawError `vectors.unavailable` */
  async #assertOnly(dimensions: number): Promise<void> {
    for (const others of (await this.dimensions()).filter((each) => each !== dimensions)) {
      const page = { limit: 1, with_payload: false, with_vector: false } as const;
      const { points } = await this.#requests.send("scroll", (client) =>
        client.scroll(this.aliasFor(others), page),
      );
      if (points.length > 0)
        throw new JetclawError(
          "vectors.unavailable",
          `vectors of ${others} numbers are in use until all documents have some of ${dimensions}`,
        );
    }
  }

  /** Somebody else may have made it a moment ago. */
  async #unlessThere(operation: string, call: Parameters<QdrantRequests["send"]>[1]): Promise<void> {
    try {
      await this.#requests.send(operation, call);
    } catch (error) {
      const { upstreamStatus } = error as Partial<QdrantRefusal>;
      if (upstreamStatus !== 409 && upstreamStatus !== 400) throw error;
    }
  }

  async #assertSize(name: string, dimensions: number): Promise<void> {
    const { config } = await this.#requests.send("collection", (client) => client.getCollection(name));
    const size = (config.params.vectors as { size?: number } | undefined)?.size;
    if (size !== dimensions)
      throw new JetclawError(
        "vectors.dimension",
        `the collection ${name} in Qdrant holds ${size ?? "other"} numbers a vector, not ${dimensions}`,
      );
  }
}
