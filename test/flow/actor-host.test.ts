// The promises of the actor runtime on a real server: two hosts in one process, each on a connection of its own, and
// whatever can go wrong with single messages. Hosts that come and go are in placement.test.ts.
import { AckPolicy, RetentionPolicy } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import { ENVELOPE_VERSION, type Envelope, encodeEnvelope } from "#contracts/envelope.ts";
import { PARTITIONS, shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inboundStream, inboundSubject, partitionConsumer, routeOf } from "#contracts/subjects.ts";
import { askActor } from "#runtime/actor/client.ts";
import { ActorMailer } from "#runtime/actor/mailer.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Pulled, Puller } from "#runtime/nats/pull.ts";
import { ActorWorld, type WorldHost } from "#test/harness/actor-world.ts";
import { begun, counter, countersOf, openGate } from "#test/harness/counter.ts";
import { randomOf } from "#test/harness/random.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const routeTo = (key: string) => routeOf({ kind: "counter", tenant: "demo", key });
/** Another key of the same partition. */
const neighbourOf = (key: string): string =>
  Array.from({ length: 2_000 }, (_, n) => `neighbour-${n}`).find(
    (each) => routeTo(each).partition === routeTo(key).partition,
  ) as string;
const envelopeTo = (key: string, change: Partial<Envelope> = {}): Envelope => ({
  v: ENVELOPE_VERSION,
  id: `raw-${key}`,
  tenant: "demo",
  kind: "counter",
  key,
  type: "add",
  body: { name: "raw" },
  at: Date.now(),
  ...change,
});

describe.each([2, 4])("two hosts, %i shards", (shards) => {
  let world: ActorWorld;
  let hosts: WorldHost[];
  let mail: ActorMailer;
  const { tell, seen, seenWhen } = countersOf(() => world);

  beforeAll(async () => {
    world = await ActorWorld.start(shards);
    hosts = [await world.host([counter]), await world.host([counter])];
    mail = new ActorMailer({
      bus: world.bus,
      clock: systemClock,
      deployment: world.deployment,
      kinds: [counter],
    });
    await world.balanced(...hosts);
  });
  afterAll(() => world?.stop());

  test("each key sees its messages in the order they were sent, each once, however often they are repeated", async () => {
    const random = randomOf(11);
    const keys = Array.from({ length: 24 }, (_, n) => `order-${n}`);
    const wanted = Array.from({ length: 15 }, (_, n) => `m${n}`);
    await Promise.all(
      keys.map(async (key) => {
        for (const name of wanted) {
          const repeats = random.int(1, 3);
          for (let n = 0; n < repeats; n++) await tell(key, "add", { name }, name);
          // A repeat of something long done, too.
          if (random.oneIn(3)) await tell(key, "add", { name: "m0" }, "m0");
        }
      }),
    );
    await world.settled();
    for (const key of keys) expect(await seen(key)).toEqual(wanted);
    expect(hosts.every(({ host }) => host.resident > 0)).toBe(true);
  });

  test("a burst of the same id at once is one commit", async () => {
    await Promise.all(Array.from({ length: 20 }, () => tell("burst", "add", { name: "once" }, "same")));
    await world.settled();
    expect(await seen("burst")).toEqual(["once"]);
  });

  test("odd ids are actors and messages of their own", async () => {
    const odd = ["a.b", "*", ">", "__proto__", "constructor", "$JS.API.STREAM.DELETE.X", "<m@host>"];
    for (const key of odd) await tell(key, "add", { name: key }, "constructor");
    await world.settled();
    for (const key of odd) expect(await seen(key)).toEqual([key]);
  });

  describe("timers", () => {
    test("fire once, replaced ones only as the newer, cancelled ones never", async () => {
      await tell("timed", "later", { timer: "a", afterMs: 200, name: "a" });
      await tell("timed", "later", { timer: "b", afterMs: 60_000, name: "old b" });
      await tell("timed", "later", { timer: "b", afterMs: 500, name: "new b" });
      await tell("timed", "later", { timer: "c", afterMs: 60_000, name: "c" });
      await tell("timed", "forget", { timer: "c" });
      await tell("timed", "forget", { timer: "never there" });
      await tell("timed", "later", { timer: "last", afterMs: 1_000, name: "last" });
      await seenWhen("timed", 3);
      // Nothing is stored for later any more.
      await world.settled();
      expect([...(await seen("timed"))].toSorted()).toEqual(["a", "last", "new b"]);
    });

    test("that fired although they were replaced change nothing", async () => {
      await tell("stale", "later", { timer: "t", afterMs: 400, name: "right" });
      const early = envelopeTo("stale", {
        type: "quiet",
        body: { name: "wrong" },
        timer: { name: "t", generation: 999 },
      });
      await world.bus.append(inboundSubject(routeTo("stale")), encodeEnvelope(early));
      await seenWhen("stale", 1);
      await world.settled();
      expect(await seen("stale")).toEqual(["right"]);
    });
  });

  describe("callers", () => {
    const ask = (key: string, type: string, body: unknown) =>
      askActor(world.bus, systemClock, { kind: "counter", tenant: "demo", key }, type, body, PATIENCE_MS);
    const post = (type: string, body: unknown, id: string, waitMs = 2 * PATIENCE_MS) =>
      mail.send({ tenant: "demo", kind: "counter", key: "mail", type, body, id, waitMs });

    test("an actor passes a message on to another", async () => {
      await tell("from", "pass", { to: "to.another", name: "parcel" });
      expect(await seenWhen("to.another", 1)).toEqual(["parcel"]);
    });

    test("get the handler's reply", async () => {
      expect(await ask("asked", "add", { name: "x" })).toBe(1);
      expect(await ask("asked", "add", { name: "y" })).toBe(2);
    });

    test("hear at once that a message was processed without a reply, also when they repeat it", async () => {
      const startedAt = Date.now();
      expect(await post("add", { name: "x" }, "m1")).toEqual({ replied: true, reply: 1 });
      expect(await post("quiet", { name: "y" }, "m2")).toEqual({ replied: false });
      expect(await post("add", { name: "x" }, "m1")).toEqual({ replied: false });
      expect(Date.now() - startedAt).toBeLessThan(PATIENCE_MS);
      expect(await seen("mail")).toEqual(["x", "y"]);
    });

    test("are refused before anything is stored where the message is wrong", async () => {
      await expect(post("add", { name: 7 }, "m3")).rejects.toMatchObject({ code: "request.invalid" });
      await expect(post("constructor", {}, "m4")).rejects.toMatchObject({ code: "actor.message-unknown" });
      expect(await world.waiting()).toBe(0);
    });

    test("see of an actor what its view shows", async () => {
      await ask("viewed", "add", { name: "x" });
      expect(await mail.view("counter", "demo", "viewed")).toEqual({ value: { count: 1 } });
      expect(await mail.view("counter", "demo", "nobody")).toBeUndefined();
      await expect(mail.view("basket", "demo", "x")).rejects.toMatchObject({ code: "actor.kind-unknown" });
    });
  });

  describe("what cannot be processed becomes a dead letter, and the rest goes on:", () => {
    /** Sends one before and one after, which both have to be seen. */
    async function between(key: string, poison: () => Promise<unknown>): Promise<void> {
      await tell(key, "add", { name: "before" });
      await poison();
      await tell(key, "add", { name: "after" });
      expect(await seenWhen(key, 2)).toEqual(["before", "after"]);
    }
    const about = (type: string, id: string) => (letter: { type?: string; id?: string }) =>
      letter.type === type && letter.id === id;

    test("a handler that always throws, after the allowed attempts and with its reason", async () => {
      const name = `explode ${shards}`;
      await between("poisoned", () => tell("poisoned", "fail", { name }, "poison-1"));
      expect(begun.get(name)).toBe(LIMITS.handlerAttempts);
      const letter = await world.deadLetter(about("fail", "poison-1"), "the poison");
      expect(letter.reason).toBe(`cannot explode ${shards}`);
      await world.settled();
    });

    test("a body that the schema refuses", async () => {
      await between("bad-body", () => tell("bad-body", "add", { name: 7 }, "bad-body-1"));
      expect((await world.deadLetter(about("add", "bad-body-1"), "the bad body")).reason).toMatch(/name/);
    });

    test.each(["nope", "__proto__", "constructor"])("a message of the unknown type %s", async (type) => {
      const key = `type-${type}`;
      await between(key, () => tell(key, type, {}, key));
      expect((await world.deadLetter(about(type, key), type)).reason).toMatch(/message-unknown/);
    });

    test("a state above the limit, naming it; the state before stays", async () => {
      const chars = LIMITS.stateBytes;
      await between("large", () => tell("large", "grow", { chars }, "large-1"));
      expect((await world.deadLetter(about("grow", "large-1"), "the large one")).reason).toMatch(
        /LIMITS\.stateBytes/,
      );
    });

    test("a timer at no time that a stream can keep", async () => {
      const at = { timer: "t", afterMs: 1e300, name: "never" };
      await between("no-time", () => tell("no-time", "later", at, "no-time-1"));
      expect((await world.deadLetter(about("later", "no-time-1"), "the timer")).reason).toMatch(/2262/);
    });

    test("a caller of it is told, and not left to wait", async () => {
      const reply = await askActor<{ error: string; reference: string }>(
        world.bus,
        systemClock,
        { kind: "counter", tenant: "demo", key: "told" },
        "nope",
        {},
        PATIENCE_MS,
      );
      expect(reply).toMatchObject({
        error: "actor.handler-failed",
        reference: expect.stringMatching(/^[0-9a-f]{12}$/),
      });
    });

    test.each([
      ["garbage bytes", new TextEncoder().encode("hello"), /envelope|codec/],
      ["a huge declared length", Uint8Array.from([0xdd, 0xff, 0xff, 0xff, 0xff]), /declared length/],
      ["a map that is no envelope", encode({ hello: "world" }), /codec\.invalid/],
      ["an envelope of another version", encode({ ...envelopeTo("raw"), v: 9 }), /codec\.invalid/],
    ])("%s", async (what, bytes, reason) => {
      const key = `raw-${what.replaceAll(" ", "-")}`;
      const subject = inboundSubject(routeTo(key));
      await between(key, () => world.bus.append(subject, bytes));
      const letter = await world.deadLetter((each) => each.subject === subject, what);
      expect(letter.reason).toMatch(reason);
      expect([...(letter.bytes ?? [])]).toEqual([...bytes]);
    });

    test("an actor of a kind that nobody defines", async () => {
      await world.tell("unheard-of", "x", "go", {});
      const subject = inboundSubject(routeOf({ kind: "unheard-of", tenant: "demo", key: "x" }));
      expect((await world.deadLetter((l) => l.subject === subject, "the unknown kind")).reason).toMatch(
        /unheard-of/,
      );
      await world.settled();
    });

    test("a message whose subject and envelope name different actors", async () => {
      const subject = inboundSubject(routeTo("addressed"));
      await world.bus.append(subject, encodeEnvelope(envelopeTo("named")));
      expect((await world.deadLetter((l) => l.subject === subject, "the forgery")).reason).toMatch(
        /different actors/,
      );
      expect([await seen("addressed"), await seen("named")]).toEqual([[], []]);
    });
  });

  test("a message in a wrong partition is moved to the right one, once", async () => {
    const route = routeTo("moved");
    const wrong = `in.${(route.partition + 1) % PARTITIONS}.${route.path}`;
    const moved: string[] = [];
    const right = world.bus.subscribe(inboundSubject(route), ({ subject }) => void moved.push(subject));
    await world.bus.flush();
    for (let n = 0; n < 2; n++) await world.bus.append(wrong, encodeEnvelope(envelopeTo("moved")));
    expect(await seenWhen("moved", 1)).toEqual(["raw"]);
    await world.settled();
    expect(await seen("moved")).toEqual(["raw"]);
    expect(moved).toContain(inboundSubject(route));
    right.stop();
  });

  test("a flooded actor stops no other of its partition, and gets all of its messages in order", async () => {
    const gate = `flood-${shards}`;
    const { partition } = routeTo("flooded");
    const neighbour = neighbourOf("flooded");
    const names = Array.from({ length: LIMITS.partitionInFlight + 100 }, (_, n) => `f${n}`);
    await tell("flooded", "hold", { name: gate });
    await waitUntil(() => begun.has(gate), { what: "the handler to hold" });
    for (const name of names) await tell("flooded", "quiet", { name });
    await tell(neighbour, "add", { name: "in time" });
    expect(await seenWhen(neighbour, 1)).toEqual(["in time"]);
    const owner = hosts.find(({ host }) => host.partitions.includes(partition)) as WorldHost;
    // The neighbour's message may be held for a moment after it was seen.
    await waitUntil(() => owner.host.held <= LIMITS.mailboxMessages + 1, { what: "few to be held" });
    expect(await seen("flooded")).toEqual([]);
    openGate(gate);
    expect(await seenWhen("flooded", names.length + 1)).toEqual([gate, ...names]);
    await world.settled();
  });

  test("an actor flooded with large messages holds few of them in memory, and all come in order", async () => {
    const gate = `large-${shards}`;
    const { partition } = routeTo("stuffed");
    const neighbour = neighbourOf("stuffed");
    const pad = "x".repeat(1_400_000);
    const names = Array.from({ length: 12 }, (_, n) => `l${n}`);
    await tell("stuffed", "hold", { name: gate });
    await waitUntil(() => begun.has(gate), { what: "the handler to hold" });
    for (const name of names) await tell("stuffed", "quiet", { name, pad });
    await tell(neighbour, "add", { name: "in time" });
    expect(await seenWhen(neighbour, 1)).toEqual(["in time"]);
    const owner = hosts.find(({ host }) => host.partitions.includes(partition)) as WorldHost;
    // The neighbour's message may be held for a moment after it was seen.
    const most = 1 + Math.floor(LIMITS.mailboxBytes / pad.length);
    await waitUntil(() => owner.host.held <= most, { what: "few to be held" });
    openGate(gate);
    expect(await seenWhen("stuffed", names.length + 1)).toEqual([gate, ...names]);
    await world.settled();
  });

  test("a consumer that an operator deleted is made again, and nothing is lost", async () => {
    const { partition } = routeTo("orphan");
    const owner = hosts.find(({ host }) => host.partitions.includes(partition)) as WorldHost;
    const consumer = partitionConsumer(partition, owner.host.epochOf(partition) as number);
    const stream = inboundStream(shardOf(partition, shards));
    await tell("orphan", "add", { name: "before" });
    await seenWhen("orphan", 1);
    expect(await world.bus.jsm.consumers.delete(stream, consumer)).toBe(true);
    await tell("orphan", "add", { name: "after" });
    expect(await seenWhen("orphan", 2)).toEqual(["before", "after"]);
    expect((await world.bus.jsm.consumers.info(stream, consumer)).name).toBe(consumer);
  });
});

describe("what a partition counts as in flight", () => {
  let world: ActorWorld;
  const { tell, seenWhen } = countersOf(() => world);
  beforeAll(async () => {
    world = await ActorWorld.start(1);
  });
  afterAll(() => world?.stop());

  test("parked messages that have gone from the stream do not stop the others of their partition for ever", async () => {
    const owner = await world.host([counter]);
    await world.balanced(owner);
    const { partition } = routeTo("purged");
    const neighbour = neighbourOf("purged");
    await tell("purged", "hold", { name: "purged" });
    await waitUntil(() => begun.has("purged"), { what: "the handler to hold" });
    const many = LIMITS.partitionParked + LIMITS.mailboxMessages + 256;
    for (let n = 0; n < many; n += 256)
      await Promise.all(Array.from({ length: 256 }, () => tell("purged", "quiet", { name: "gone" })));
    const [stream, consumer] = [inboundStream(0), partitionConsumer(partition, 1)];
    const unacked = async (): Promise<number> =>
      (await world.bus.jsm.consumers.info(stream, consumer)).num_ack_pending;
    await waitUntil(async () => (await unacked()) >= LIMITS.partitionParked, { what: "all of them parked" });
    await world.bus.jsm.streams.purge(stream, { filter: inboundSubject(routeTo("purged")) });
    await tell(neighbour, "add", { name: "in time" });
    openGate("purged");
    expect(await seenWhen(neighbour, 1)).toEqual(["in time"]);
    await waitUntil(async () => (await unacked()) === 0, { what: "the consumer to miss nothing either" });
  });

  test("a message is acked once, however often it is said to be", async () => {
    const [stream, name] = ["COUNTED", "counts"];
    const { jsm } = world.bus;
    await jsm.streams.add({ name: stream, subjects: ["counted.>"], retention: RetentionPolicy.Workqueue });
    await jsm.consumers.add(stream, { durable_name: name, ack_policy: AckPolicy.Explicit });
    for (const each of ["a", "b"]) await world.bus.append(`counted.${each}`, encode(each));
    const puller = new Puller(world.bus);
    const channel = puller.channel(stream, name);
    const messages: Pulled[] = [];
    channel.request({ batch: 2, onMessage: (message) => void messages.push(message), onEnd: () => {} });
    await waitUntil(() => messages.length === 2, { what: "both messages" });
    messages[0]?.ack();
    messages[0]?.ack();
    expect([channel.received, channel.acked, channel.unacked]).toEqual([2, 1, 1]);
    messages[1]?.ack();
    expect(channel.unacked).toBe(0);
    puller.close();
  });
});
