// `jetclaw kb` as somebody types it, against a gateway on a real NATS: folders of every format, again, pruned, broken,
// interrupted; and CloudEvents over HTTP in all their forms.
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KvKeyStore } from "#actors/gateway/keys.ts";
import type { RunningStore } from "#actors/knowledge/store.ts";
import { changeOf, cloudEventSchema } from "#contracts/cloudevent.ts";
import { systemClock } from "#runtime/clock.ts";
import { startTestGateway, type TestGateway } from "#test/harness/gateway.ts";
import { type KnowledgeWorld, knowledgeWorld, type Reader } from "#test/harness/knowledge.ts";
import { pdfOf } from "#test/harness/pdf.ts";
import { endWithUs } from "#test/harness/reaping.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

let world: KnowledgeWorld;
let reader: Reader;
let gateway: TestGateway;
/** Puts into the collection `many` wait for it once there are some. */
let going: Promise<void> | undefined;
const folder = mkdtempSync(join(tmpdir(), "jetclaw-import-"));

beforeAll(async () => {
  world = await knowledgeWorld();
  reader = await world.reader("one");
  const keys = await KvKeyStore.open(world.bus, systemClock);
  const put: RunningStore["put"] = async (tenant, collection, ...rest) => {
    if (collection === "many" && reader.retriever.count(tenant, collection) > 100) await going;
    return await world.store.put(tenant, collection, ...rest);
  };
  const knowledge = new Proxy(world.store, {
    get: (store, name) => (name === "put" ? put : Reflect.get(store, name).bind(store)),
  });
  const settings = { indexWaitMs: PATIENCE_MS };
  gateway = await startTestGateway({ keys, knowledge, retriever: reader.retriever, settings });
});
afterAll(async () => {
  await gateway?.stop();
  await world?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const MAIN = fileURLToPath(new URL("../../ops/bin.js", import.meta.url));
const FLAGS = ["--disable-warning=ExperimentalWarning", MAIN];
const kb = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    const command = [...FLAGS, "kb", ...args, "--url", gateway.url];
    execFile(process.execPath, command, { maxBuffer: 1e8 }, (error, out, err) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error ? 1 : 0, out, err }),
    );
  });
const write = async (name: string, content: string | Buffer): Promise<void> => {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
};
const listed = async (collection: string): Promise<string[]> =>
  (await world.store.list("demo", collection)).documents.map(({ document }) => document).sort();

describe("kb import", () => {
  test("every format; what is broken is named and the rest is stored; again nothing is written; pruned; found", async () => {
    await write(
      "shop/returns.md",
      "---\ntitle: Returns\nlocale: en\ntags: [refund]\n---\n## How long?\n\nThirty days.",
    );
    await write(
      "shop/nl/retour.html",
      "<html lang=nl><title>Retour</title><p>Binnen dertig dagen terugsturen.</p>",
    );
    await write(
      "shop/terms.pdf",
      pdfOf([[{ text: "The zebra clause holds for everybody.", size: 11, y: 700 }]]),
    );
    await write("shop/note.txt", "Parking is free for two hours at every store of ours.");
    await write(
      "shop/more.jsonl",
      '{"id": "j1", "title": "One", "text": "Quokkas are welcome in the garden."}\n\nno json\n{"id": "j2", "text": "x"}\n',
    );
    await write("shop/bad.pdf", "%PDF-1.4 broken");
    await write("shop/blank.txt", " \n\t");
    await write("shop/latin.txt", Buffer.from("caf\u00e9", "latin1"));
    await write("shop/huge.txt", "word ".repeat(110_000));
    await write("shop/returns.txt", "The same id.");
    await write("shop/picture.png", "ignored");
    const all = ["import", join(folder, "shop"), "-c", "shop1"];

    const dry = await kb(...all, "--prune", "--dry-run", "--json");
    expect(JSON.parse(dry.out).notPruned).toMatch(/lines that cannot be read/);
    expect(JSON.parse(dry.out).stored).toEqual(["j1", "j2", "nl/retour", "note", "returns", "terms"]);
    expect(await listed("shop1")).toEqual([]);

    const first = await kb(...all);
    expect(first.code, first.err).toBe(1);
    expect(first.out).toMatch(/6 stored, 0 unchanged, 0 removed, 6 failed/);
    for (const said of [
      /bad\.pdf: cannot be read as PDF/,
      /blank\.txt: holds no text/,
      /latin\.txt: is not UTF-8/,
      /huge\.txt: has 550000 characters, a document at most 500000/,
      /more\.jsonl:3: is not JSON/,
      /returns\.txt: would be the document returns, which returns\.md is already/,
    ])
      expect(first.err).toMatch(said);
    expect(await listed("shop1")).toEqual(["j1", "j2", "nl/retour", "note", "returns", "terms"]);
    expect(await world.store.get("demo", "shop1", "nl/retour")).toMatchObject({
      title: "Retour",
      locale: "nl",
    });
    // Waited for: everything can be found at once.
    const found = await kb("search", "does", "the", "zebra", "clause", "hold?", "-c", "shop1", "--json");
    expect(JSON.parse(found.out).passages[0]).toMatchObject({ document: "terms" });

    for (const file of ["bad.pdf", "blank.txt", "latin.txt", "huge.txt", "returns.txt"])
      await rm(join(folder, "shop", file));
    await write(
      "shop/more.jsonl",
      '{"id": "j1", "title": "One", "text": "Quokkas are welcome in the garden."}\n',
    );
    await write("shop/note.txt", "Parking costs two euros.");
    const before = await world.store.get("demo", "shop1", "returns");
    const second = await kb(...all, "--prune", "--json");
    expect(second.code, second.err).toBe(0);
    expect(JSON.parse(second.out)).toMatchObject({
      stored: ["note"],
      unchanged: 4,
      removed: ["j2"],
      broken: [],
    });
    expect((await world.store.get("demo", "shop1", "returns"))?.revision).toBe(before?.revision);
    expect(await listed("shop1")).toEqual(["j1", "nl/retour", "note", "returns", "terms"]);

    const status = JSON.parse((await kb("status", "-c", "shop1", "--json")).out);
    expect(status).toMatchObject({ documents: 5, indexed: true });
    expect(JSON.parse((await kb("list", "-c", "shop1", "--json")).out).documents).toHaveLength(5);
  });

  test("a file that became empty leaves what it was, and says so with the next step", async () => {
    await write("emptied/faq.md", "# Returns\n\nWithin thirty days.");
    await write("emptied/other.md", "# Other\n\nMore.");
    const all = ["import", join(folder, "emptied"), "-c", "emptied", "--prune"];
    expect((await kb(...all)).code).toBe(0);
    await write("emptied/faq.md", "");
    await write("emptied/other.txt", "");
    await write("emptied/new.txt", "");
    const { code, err } = await kb(...all);
    expect([code, await listed("emptied")]).toEqual([1, ["faq", "other"]]);
    expect(err).toContain(
      "faq.md: holds no text. Its former text is still found: mend the file, or jetclaw kb rm faq -c emptied\n",
    );
    expect(err).toMatch(/^new\.txt: holds no text$/m);
    expect(err).toMatch(/^other\.txt: holds no text$/m);
    expect((await kb("rm", "faq", "-c", "emptied")).code).toBe(0);
    expect(await listed("emptied")).toEqual(["other"]);
  });

  test("a language that is none is refused before anything is stored: nobody who asks would be one of its speakers", async () => {
    await write("named/faq.md", "# Returns\n\nWithin thirty days.");
    const { code, err } = await kb("import", join(folder, "named"), "-c", "named", "--locale", "English");
    expect([code, await listed("named")]).toEqual([2, []]);
    expect(err).toMatch(/--locale .* such as en or nl-BE/);
  });

  test("put stores a file as an import does, and refuses what is no text", async () => {
    await write("put/front.md", "---\ntitle: Front\nlocale: nl\n---\n\ufeff# Ruilen\n\nBinnen dertig dagen.");
    await write("put/marked.txt", Buffer.from("\ufeffMarked.", "utf16le"));
    await write("put/page.pdf", pdfOf([[{ text: "A page.", size: 11, y: 700 }]]));
    await write("put/latin.txt", Buffer.from("caf\u00e9", "latin1"));
    const put = async (name: string, ...more: string[]) =>
      await kb("put", name, join(folder, "put", name), "-c", "put", ...more);
    for (const name of ["front.md", "marked.txt", "page.pdf"]) expect((await put(name)).code).toBe(0);
    const stored = (name: string) => world.store.get("demo", "put", name);
    expect(await stored("front.md")).toMatchObject({ title: "Front", locale: "nl" });
    expect((await stored("front.md"))?.text).not.toMatch(/title:/);
    expect(await stored("marked.txt")).toMatchObject({ title: "marked.txt", text: "Marked." });
    expect(await stored("page.pdf")).toMatchObject({ text: "A page." });
    const refused = await put("latin.txt");
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/latin\.txt is not UTF-8/)]);
    expect((await put("front.md", "--locale", "Dutch")).code).toBe(2);
    expect(await stored("latin.txt")).toBeUndefined();
  });

  test("Ctrl-C ends it cleanly, and the same command goes on where it was", async () => {
    const count = 1_500;
    const held = Promise.withResolvers<void>();
    going = held.promise;
    const lines = Array.from({ length: count }, (_, n) =>
      JSON.stringify({ id: `d${n}`, text: `Text ${n}.`, locale: "en" }),
    );
    await write("many/all.jsonl", lines.join("\n"));
    const command = ["kb", "import", join(folder, "many"), "-c", "many", "--json", "--url", gateway.url];
    const child = spawn(process.execPath, [...FLAGS, ...command], { stdio: ["ignore", "pipe", "pipe"] });
    const spare = endWithUs(child.pid as number);
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    await waitUntil(async () => (await listed("many")).length > 50, { what: "the first documents" });
    child.kill("SIGINT");
    held.resolve();
    expect(await ended).toBe(130);
    spare();
    const report = JSON.parse(out);
    expect(report.interrupted).toBe(true);
    expect(report.stored.length).toBeLessThan(count);
    const stored = report.stored.length;
    const again = JSON.parse((await kb("import", join(folder, "many"), "-c", "many", "--json")).out);
    expect(again).toMatchObject({ unchanged: stored, interrupted: false, indexed: true });
    expect(again.stored.length).toBe(count - stored);
  });
});

describe("CloudEvents", () => {
  const event = {
    specversion: "1.0",
    id: "e1",
    source: "https://cms.example/articles",
    type: "com.example.article.published.v2",
    subject: "returns policy",
    time: "2026-01-02T03:04:05Z",
    datacontenttype: "application/json",
    data: { title: "Returns", markdown: "Within thirty days.", tags: ["refund"] },
  };
  const send = (body: unknown, headers: Record<string, string>, collection = "cms"): Promise<Response> =>
    gateway.ask(`/v1/knowledge/${collection}/events?wait=indexed`, { body, headers });
  const structured = { "content-type": "application/cloudevents+json; charset=utf-8" };
  const batch = { "content-type": "application/cloudevents-batch+json" };

  test("structured, binary and in a batch; repeats, late ones and deletions", async () => {
    const answer = await (await send(event, structured)).json();
    expect(answer).toMatchObject({
      collection: "cms",
      indexed: true,
      results: [{ id: "e1", document: "returns%20policy", outcome: "stored" }],
    });
    expect(await world.store.get("demo", "cms", "returns%20policy")).toMatchObject({
      title: "Returns",
      text: "Within thirty days.",
      at: Date.parse(event.time),
    });
    const binary = {
      "content-type": "text/markdown",
      "ce-specversion": "1.0",
      "ce-id": "e2",
      "ce-source": "https://cms.example/articles",
      "ce-type": "com.example.article.updated",
      "ce-subject": '"returns%20policy"',
      "ce-time": "2026-01-03T00:00:00Z",
    };
    await send("# Returning\n\nWithin forty days.", binary);
    expect(await world.store.get("demo", "cms", "returns%20policy")).toMatchObject({ title: "Returning" });
    const results = (await (
      await send(
        [
          event,
          { ...event, id: "e0", time: "2026-01-01T00:00:00Z", type: "article.deleted", data: undefined },
          { ...event, id: "e3", time: "2026-01-04T00:00:00+01:00", type: "article.deleted", data: undefined },
          {
            ...event,
            id: "e4",
            subject: "other",
            datacontenttype: "text/plain",
            data_base64: "SGVsbG8u",
            data: undefined,
          },
        ],
        batch,
      )
    ).json()) as { results: { outcome: string }[] };
    expect(results.results.map((each) => each.outcome)).toEqual(["duplicate", "late", "deleted", "stored"]);
    expect(await listed("cms")).toEqual(["other"]);
    // An event without data has no content type either.
    const { "content-type": _, ...attributes } = binary;
    const removed = { ...attributes, "ce-id": "e5", "ce-type": "article.deleted", "ce-subject": "other" };
    const path = "/v1/knowledge/cms/events?wait=indexed";
    const gone = await gateway.ask(path, {
      method: "POST",
      headers: { ...removed, "ce-time": "2026-01-05T00:00:00Z" },
    });
    expect([gone.status, await listed("cms")]).toEqual([200, []]);
  });

  test.each([
    ["a type that says nothing", { ...event, type: "article.seen" }, structured, 400, /says neither/],
    ["no id", { ...event, id: undefined }, structured, 400, /id:/],
    ["another version", { ...event, specversion: "0.3" }, structured, 400, /specversion/],
    ["no text", { ...event, data: { title: "x" } }, structured, 400, /has no text/],
    ["blank text", { ...event, data: { text: " \n\t" } }, structured, 400, /holds no text/],
    [
      "blank text alone",
      { ...event, datacontenttype: "text/plain", data: " \n\t" },
      structured,
      400,
      /holds no text/,
    ],
    ["no name", { ...event, subject: undefined }, structured, 400, /names the document/],
    ["a batch that is none", event, batch, 400, /array/],
    ["one bad in a batch", [event, { ...event, type: "x" }], batch, 400, /says neither/],
    ["a form that we do not know", "<a/>", { "content-type": "application/xml" }, 415, /cloudevents/],
    ["plain JSON", event, { "content-type": "application/json" }, 415, /cloudevents/],
  ])("%s is refused in words, and nothing is stored", async (_, body, headers, status, said) => {
    const answer = await send(body, headers as Record<string, string>, "refused");
    expect(answer.status).toBe(status);
    expect(JSON.stringify(await answer.json())).toMatch(said);
    expect(await listed("refused")).toEqual([]);
  });

  test("a key is needed, as everywhere", async () => {
    const answer = await gateway.ask("/v1/knowledge/cms/events", {
      body: event,
      headers: structured,
      key: null,
    });
    expect(answer.status).toBe(401);
  });

  test("lines of events in a file are told in order", async () => {
    const lines = [
      event,
      { ...event, id: "e9", type: "a.deleted", time: "2026-02-01T00:00:00Z" },
      { ...event, id: "e10", subject: "kept" },
    ];
    await write("events/log.jsonl", lines.map((line) => JSON.stringify(line)).join("\n"));
    const report = JSON.parse((await kb("import", join(folder, "events"), "-c", "log", "--json")).out);
    expect(report.events).toEqual({ stored: 2, deleted: 1 });
    expect(await listed("log")).toEqual(["kept"]);
  });

  const WIRE = fileURLToPath(new URL("../../../shared/data/wire/", import.meta.url));
  const SCHEMAS = ["cloudevents_spec_cd41f28.json", "cloudevents_v1_from_npm_cloudevents_10.0.0.json"];
  test.skipIf(!existsSync(join(WIRE, SCHEMAS[0] as string)))(
    "what we take is what the published schemas allow (skipped without ../shared/data)",
    () => {
      const ajv = new Ajv({ strict: false });
      addFormats.default(ajv);
      const checks = SCHEMAS.map((file) => ajv.compile(JSON.parse(readFileSync(join(WIRE, file), "utf8"))));
      const text = fc.string({ minLength: 1, maxLength: 20 }).filter((each) => each.trim() !== "");
      const made = fc.record(
        {
          specversion: fc.constant("1.0"),
          id: text,
          source: fc.webUrl(),
          type: fc.constantFrom("a.created", "b.deleted", "c.d.updated.v1"),
          subject: text,
          time: fc
            .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
            .map((date) => date.toISOString()),
          dataschema: fc.webUrl(),
          data: fc.record({ text, title: text }),
          comexampleextension: fc.string(),
        },
        { requiredKeys: ["specversion", "id", "source", "type", "subject", "data"] },
      );
      fc.assert(
        fc.property(made, (given) => {
          for (const check of checks) expect(check(given), JSON.stringify(check.errors)).toBe(true);
          expect(() => changeOf(cloudEventSchema.parse(given))).not.toThrow();
        }),
      );
      for (const missing of ["specversion", "id", "source", "type"]) {
        const given = { ...event, [missing]: undefined };
        for (const check of checks) expect(check(JSON.parse(JSON.stringify(given)))).toBe(false);
        expect(cloudEventSchema.safeParse(given).success).toBe(false);
      }
    },
  );
});
