// Documents on a real NATS: revisions, listings, indexes that follow, waits for all of them, a reader that was frozen.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Listing } from "#actors/knowledge/port.ts";
import { READER_ROLE } from "#actors/knowledge/readers.ts";
import { RevisionReader } from "#actors/knowledge/revisions.ts";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { decode } from "#contracts/codec.ts";
import { contentHash, decodeKnowledgeEvent, encodeKnowledgeEvent } from "#contracts/knowledge.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE, KNOWLEDGE, knowledgeFilter, knowledgeSubject } from "#contracts/subjects.ts";
import { DEMO_COLLECTION, DEMO_TENANT, loadDemoKnowledge } from "#ops/demo/load.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { follow } from "#runtime/nats/follow.ts";
import { lastMessage } from "#runtime/nats/reader.ts";
import type { Beat } from "#runtime/observe/presence.ts";
import {
  insteadOf,
  type KnowledgeWorld,
  knowledgeWorld,
  type Reader,
  silentLog,
} from "#test/harness/knowledge.ts";
import type { ReaderAnswer, ReaderQuestion } from "#test/harness/knowledge-reader-process.ts";
import { endWithUs } from "#test/harness/reaping.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

let world: KnowledgeWorld;
let one: Reader;
let two: Reader;

beforeAll(async () => {
  world = await knowledgeWorld();
  one = await world.reader("one");
  two = await world.reader("two");
});
afterAll(() => world?.stop());

const secret = (word: string) => ({ title: "Secrets", text: `The secret word is ${word}.`, locale: "en" });
const ask = async (reader: Reader, tenant: string, collection = "c"): Promise<string[]> => {
  const query = { tenant, collections: [collection], question: "What is the secret word?", limit: 3 };
  return (await reader.retriever.retrieve(query)).map((passage) => passage.text);
};

describe("documents", () => {
  test("put, get, list, delete; each change a higher revision, the same content none", async () => {
    const { store } = world;
    const content = {
      title: "A",
      text: "One sentence about something that is written in English.",
      tags: ["x", "y"],
    };
    const { revision } = await store.put("t1", "c", "a.b>*", content);
    expect(await store.put("t1", "c", "a.b>*", content)).toEqual({ revision });
    expect(await store.get("t1", "c", "a.b>*")).toEqual({
      ...content,
      collection: "c",
      document: "a.b>*",
      revision,
      locale: "en",
      at: expect.any(Number),
    });
    const changed = await store.put("t1", "c", "a.b>*", { ...content, tags: ["x"] });
    expect(changed.revision).toBeGreaterThan(revision);
    expect((await store.list("t1", "c")).documents).toEqual([
      {
        title: "A",
        tags: ["x"],
        hash: contentHash({ ...content, tags: ["x"] }),
        collection: "c",
        document: "a.b>*",
        revision: changed.revision,
        locale: "en",
        at: expect.any(Number),
      },
    ]);
    // Half a character, as of a text cut off inside of one: nothing else can hold it, so it is stored as one that is.
    const cut = { title: "Cut \ud83d", text: `${content.text} \ud83d`, tags: ["\ud83d"] };
    const once = await store.put("t1", "cut", "d", cut);
    expect(await store.put("t1", "cut", "d", cut)).toEqual(once);
    expect((await store.list("t1", "cut")).documents).toMatchObject([{ hash: contentHash(cut) }]);
    expect((await store.delete("t1", "c", "a.b>*"))?.revision).toBeGreaterThan(changed.revision);
    expect(await store.delete("t1", "c", "a.b>*")).toBeUndefined();
    expect(await store.get("t1", "c", "a.b>*")).toBeUndefined();
    expect((await store.list("t1", "c")).documents).toEqual([]);
    expect((await store.put("t1", "c", "a.b>*", content)).revision).toBeGreaterThan(changed.revision);
  });

  test("absent documents, other tenants, ids that are none", async () => {
    const { store } = world;
    await store.put("t2", "c", "d", secret("mine"));
    expect(await store.get("t3", "c", "d")).toBeUndefined();
    expect(await store.delete("t3", "c", "d")).toBeUndefined();
    expect((await store.list("t3", "c")).documents).toEqual([]);
    for (const id of ["", "a b", "a\nb", "x".repeat(257)]) {
      await expect(store.put("t2", "c", id, secret("x"))).rejects.toMatchObject({ code: "request.id" });
      await expect(store.list("t2", id)).rejects.toMatchObject({ code: "request.id" });
    }
  });

  test("a listing is whole beyond the server's 1,024 subjects a request", async () => {
    const ids = Array.from({ length: 1_300 }, (_, n) => `d${n}`);
    for (let at = 0; at < ids.length; at += 100)
      await Promise.all(
        ids
          .slice(at, at + 100)
          .map((id) => world.store.put("many", "c", id, { title: id, text: "x", locale: "en" })),
      );
    const pages: Listing[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page: Listing = await world.store.list("many", "c", { after, limit: 600 });
      pages.push(page);
      after = page.next;
    }
    expect(pages.map(({ documents }) => documents.length)).toEqual([600, 600, 100]);
    const listed = pages.flatMap(({ documents }) => documents.map(({ document }) => document));
    expect(new Set(listed)).toEqual(new Set(ids));
    expect((await world.store.list("many", "c")).documents).toHaveLength(1_000);
  });

  test("a change while somebody pages is seen again, and nothing is missed", async () => {
    const { documents, next } = await world.store.list("many", "c", { limit: 700 });
    const seen = documents.map(({ document }) => document);
    await world.store.put("many", "c", seen[0] as string, { title: "changed", text: "x", locale: "en" });
    const rest = await world.store.list("many", "c", { after: next, limit: 1_000 });
    expect(rest.documents.at(-1)).toMatchObject({ document: seen[0], title: "changed" });
    expect(new Set([...seen, ...rest.documents.map(({ document }) => document)]).size).toBe(1_300);
  });
});

describe("readers", () => {
  test("after a wait every reader finds the change, and the deletion", async () => {
    for (let n = 0; n < 30; n++) {
      const { revision } = await world.store.put("t4", "c", "d", secret(`w${n}`));
      expect(await world.store.waitIndexed(revision, PATIENCE_MS)).toBe(true);
      for (const reader of [one, two]) {
        expect(await ask(reader, "t4")).toEqual([`The secret word is w${n}.`]);
        expect(reader.retriever.changeOf("t4", "c", "d")?.revision).toBe(revision);
      }
    }
    const gone = await world.store.delete("t4", "c", "d");
    expect(await world.store.waitIndexed(gone?.revision ?? 0, PATIENCE_MS)).toBe(true);
    for (const reader of [one, two]) {
      expect(await ask(reader, "t4")).toEqual([]);
      expect(reader.retriever.changeOf("t4", "c", "d")?.revision).toBeUndefined();
    }
  });

  test("waits end by the readers' word and not by their time", async () => {
    for (let n = 0; n < 50; n++) {
      const { revision } = await world.store.put("t5", "c", "d", secret(`w${n}`));
      expect(await world.store.waitIndexed(revision, PATIENCE_MS)).toBe(true);
    }
  });

  test("a store that just started does not trust what it has not heard", async () => {
    const { revision } = await world.store.put("t6", "c", "d", secret("early"));
    const fresh = createKnowledgeStore(world.bus);
    expect(await fresh.waitIndexed(revision, 100)).toBe(false);
    expect(await fresh.waitIndexed(revision, PATIENCE_MS)).toBe(true);
    expect(await fresh.waitIndexed(revision + 1_000, 100)).toBe(false);
    fresh.stop();
  });

  test("bytes that are no event, a repeat and a foreign version stop nobody", async () => {
    const { seq } = await world.bus.append(knowledgeSubject("t7", "c", "junk"), new Uint8Array([1, 2, 3]));
    const event = {
      v: 1 as const,
      tenant: "t7",
      collection: "c",
      document: "d",
      deleted: false,
      ...secret("fine"),
      at: 0,
    };
    await world.bus.append(
      knowledgeSubject("t7", "c", "newer"),
      encodeKnowledgeEvent({ ...event, v: 2 as unknown as 1 }),
    );
    await world.bus.append(knowledgeSubject("t7", "c", "d"), encodeKnowledgeEvent(event));
    const repeated = await world.bus.append(knowledgeSubject("t7", "c", "d"), encodeKnowledgeEvent(event));
    expect(await world.store.waitIndexed(repeated.seq, PATIENCE_MS)).toBe(true);
    expect(repeated.seq).toBeGreaterThan(seq);
    expect(await ask(one, "t7")).toEqual(["The secret word is fine."]);
  });

  test("a reader that joins late has everything when it starts", async () => {
    const late = await world.reader("late");
    expect(late.retriever.position).toBe((await lastMessage(world.bus, KNOWLEDGE, "kb.>"))?.seq);
    expect(await ask(late, "t7")).toEqual(["The secret word is fine."]);
    await late.stop();
  });

  test("a reader that has left is waited for by nobody, also when somebody still asks it", async () => {
    const left = await world.reader("left");
    const { retriever } = left;
    await retriever.stop();
    await waitUntil(() => !retriever.fresh(), { what: "it to hear itself no more" });
    await ask(left, "t12");
    const { revision } = await world.store.put("t12", "c", "d", secret("left"));
    expect(await world.store.waitIndexed(revision, PATIENCE_MS)).toBe(true);
    await left.stop();
  });

  test("a change that is stored while a reader that starts asks for the last one does not end its start", async () => {
    await world.store.put("race", "c", "first", secret("first"));
    const connection = one.bus;
    let asked = 0;
    const leaderGet: Bus["leaderGet"] = async (...which) => {
      const answer = await connection.leaderGet(...which);
      if (asked++ > 0) return answer;
      const { revision } = await world.store.put("race", "c", "next", secret("next"));
      const isThere = (): boolean => reader.changeOf("race", "c", "next")?.revision === revision;
      await waitUntil(isThere, { what: "the reader to take the next change in" });
      return answer;
    };
    const reader = new RevisionReader(insteadOf(connection, { leaderGet }), {
      instance: "starts",
      log: silentLog,
    });
    await reader.start();
    expect(asked).toBeGreaterThan(0);
    expect(reader.fresh()).toBe(true);
    await reader.stop();
  });

  test("a frozen reader is not waited for, and serves nothing old when it thaws", async () => {
    const before = await world.store.put("t8", "c", "d", secret("before"));
    const path = fileURLToPath(new URL("../harness/knowledge-reader-process.ts", import.meta.url));
    const child = fork(path, [world.url], {
      execArgv: ["--conditions=jetclaw-src", "--disable-warning=ExperimentalWarning"],
    });
    const spare = endWithUs(child.pid as number);
    await new Promise((resolve) => child.once("message", resolve));
    let asked = 0;
    const askChild = async (question: string | null = "What is the secret word?"): Promise<ReaderAnswer> => {
      const id = ++asked;
      const answer = new Promise<ReaderAnswer>((resolve) => {
        child.on("message", (message: ReaderAnswer) => message.id === id && resolve(message));
      });
      child.send({
        id,
        tenant: "t8",
        collection: "c",
        question,
      } satisfies ReaderQuestion);
      return await answer;
    };
    expect(await world.store.waitIndexed(before.revision, PATIENCE_MS)).toBe(true);
    expect((await askChild()).passages[0]?.text).toBe("The secret word is before.");

    // Heard before the store hears it: whoever reads is waited for until it was silent for long.
    let heardAt = 0;
    const beats = world.bus.subscribe(CORE.roleHeartbeat(READER_ROLE), ({ data }) => {
      if (decode<Beat>(data).where.endsWith(`/${child.pid}`)) heardAt = performance.now();
    });
    await waitUntil(() => heardAt > 0, { what: "a beat of the child" });
    child.kill("SIGSTOP");
    const after = await world.store.put("t8", "c", "d", secret("after"));
    expect(await world.store.waitIndexed(after.revision, PATIENCE_MS)).toBe(true);
    expect(performance.now() - heardAt).toBeGreaterThan(LIMITS.suspectMs - 100);
    beats.stop();
    // The question is there before the thawed process has run at all.
    const thawed = askChild();
    child.kill("SIGCONT");
    const { passages, freshBefore, freshAfter } = await thawed;
    expect(freshBefore).toBe(false);
    expect(freshAfter).toBe(true);
    expect(passages[0]?.text).toBe("The secret word is after.");

    // Frozen again, and then never asked anything: it is fresh all the same, or nobody would ask it.
    child.kill("SIGSTOP");
    heardAt = performance.now();
    await waitUntil(() => performance.now() - heardAt > LIMITS.suspectMs, { what: "others to forget it" });
    child.kill("SIGCONT");
    await waitUntil(async () => (await askChild(null)).freshBefore, { what: "it to have proved itself" });

    const next = await world.store.put("t8", "c", "d", secret("next"));
    expect(await world.store.waitIndexed(next.revision, PATIENCE_MS)).toBe(true);
    expect((await askChild()).passages[0]?.text).toBe("The secret word is next.");
    child.kill("SIGKILL");
    await waitUntil(() => child.signalCode !== null, { what: "the end of the child" });
    spare();
  });
});

describe("a follower", () => {
  test("lets others have their turn while it catches up, and goes on after a handler that throws", async () => {
    const ids = Array.from({ length: 60 }, (_, n) => `d${n}`);
    await Promise.all(ids.map((id) => world.store.put("t11", "c", id, secret(id))));
    let turns = 0;
    let going = true;
    const turn = (): void => {
      turns++;
      if (going) setImmediate(turn);
    };
    const seen: string[] = [];
    let turnsBetween = 0;
    setImmediate(turn);
    const follower = await follow(world.bus, {
      stream: KNOWLEDGE,
      filter: knowledgeFilter("t11"),
      from: "all",
      onMessage: ({ data }) => {
        if (seen.length === 0) turns = 0;
        turnsBetween = turns;
        seen.push(decodeKnowledgeEvent(data)?.document ?? "");
        // As long as indexing a long document takes.
        for (const until = performance.now() + 5; performance.now() < until; );
        if (seen.length === 3) throw new Error("a document that cannot be read");
      },
    });
    going = false;
    expect(new Set(seen)).toEqual(new Set(ids));
    // 300 ms of work in slices of 8 ms and what it takes to finish a message.
    expect(turnsBetween).toBeGreaterThan(15);
    await follower.stop();
  });
});

describe("the demo shop", () => {
  const load = () => loadDemoKnowledge(world.store, { bus: world.bus, log: silentLog });

  test("is loaded once, and never over what a user changed", async () => {
    const first = await load();
    expect(first).toMatchObject({ loaded: first.total });
    expect(first.total).toBeGreaterThan(40);
    expect(await world.store.waitIndexed(first.revision, PATIENCE_MS)).toBe(true);
    expect(one.retriever.count(DEMO_TENANT, DEMO_COLLECTION)).toBe(first.total);
    await world.store.put(DEMO_TENANT, DEMO_COLLECTION, "delivery-en", secret("ours"));
    await world.store.delete(DEMO_TENANT, DEMO_COLLECTION, "delivery-nl");
    expect(await load()).toEqual({ loaded: 0, total: first.total, revision: 0 });
    expect((await world.store.get(DEMO_TENANT, DEMO_COLLECTION, "delivery-en"))?.title).toBe("Secrets");
    expect(await world.store.get(DEMO_TENANT, DEMO_COLLECTION, "delivery-nl")).toBeUndefined();
  });
});
