// The replay of `bench cache` on traffic of its own: nothing outdated is served though invalidation comes late, noise and
// other values are counted as wrong when they are served, and the same seed gives the same figures.
import { expect, test } from "vitest";
import { type Played, Replay } from "#ops/bench/cache-replay.ts";
import type { LabelledRequest } from "#ops/bench/cache-traffic.ts";
import { randomFrom } from "#ops/bench/shape.ts";

const TOPICS = ["parcel delivery", "invoice copy", "refund rules", "password reset"];
const FRAMES = [
  "how does X work",
  "I need help with X",
  "please explain X",
  "tell me about X",
  "what is your X",
];

function trafficOf(seed: number, length = 400): LabelledRequest[] {
  const random = randomFrom(seed);
  const one = (list: readonly string[]): string => list[Math.floor(random() * list.length)] ?? "";
  return Array.from({ length }, () => {
    if (random() < 0.15)
      return { text: `my ${one(FRAMES)} ${random()}`, group: null, entity: null, noise: true };
    const group = one(TOPICS);
    return { text: one(FRAMES).replace("X", group), group, entity: null, noise: false };
  });
}

function play(changes: number, seed = 7): Played[] {
  const traffic = trafficOf(seed);
  const replay = new Replay({
    traffic,
    articles: TOPICS.map((id) => ({ id, title: id, text: `All about ${id}.` })),
    vectorOf: () => undefined,
    seed,
    leak: 0,
    changes,
    lag: 30,
    errorBound: 0.01,
    checkShare: 0.02,
    judged: false,
    locale: "en",
  });
  return traffic.map((request) => replay.play(request));
}

const count = (played: readonly Played[], where: (one: Played) => boolean): number =>
  played.filter(where).length;

test("hits are many, and none is wrong where questions are plain", () => {
  const played = play(0);
  expect(count(played, ({ served }) => served === "response")).toBeGreaterThan(150);
  expect(count(played, ({ wrong }) => wrong !== undefined)).toBe(0);
});

test("nothing outdated is served while documents change, and changes do cost hits", () => {
  const played = play(0.05);
  const hits = count(played, ({ served }) => served !== "none");
  expect(hits).toBeGreaterThan(50);
  expect(hits).toBeLessThan(count(play(0), ({ served }) => served !== "none"));
  expect(count(played, ({ wrong }) => wrong === "stale")).toBe(0);
});

test("the same seed gives the same figures", () => {
  const bare = ({ lookupMs: _, ...rest }: Played) => rest;
  expect(play(0.02).map(bare)).toEqual(play(0.02).map(bare));
});
