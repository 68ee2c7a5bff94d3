// The shipped ScaledObject asks for a route and fields that a gateway really answers with.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import type { Drain, LoadReport } from "#contracts/load.ts";
import { CLASSES } from "#contracts/subjects.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";

const yaml = readFileSync(
  fileURLToPath(new URL("../../../ops/deploy/keda-scaledobject.yaml", import.meta.url)),
  "utf8",
);
const drains = CLASSES.map(
  (cls): Drain => ({ pool: "default", cls, waiting: 2, inFlight: 3, oldestMs: 9, drainMs: 70 }),
);
// Only `drain` is asked, which reads nothing.
const admin = (report: LoadReport | undefined) =>
  createLoadAdmin({} as Bus, systemClock, { report: () => report, stop: () => {} });

test("every value that KEDA reads is a number of the answer", () => {
  const answer = admin({ by: "g", at: 1, drains }).drain("default") as unknown as Record<string, unknown>;
  const read = [...yaml.matchAll(/valueLocation: (\S+)/g)].map(([, path]) => path as string);
  expect(read).toEqual(["value", "inFlight"]);
  expect(read.map((path) => answer[path])).toEqual([70, 9]);
  expect(new Set([...yaml.matchAll(/url: http:\/\/[^/]+(\S+)\?/g)].map(([, path]) => path))).toEqual(
    new Set(["/v1/admin/drain"]),
  );
});

test("without a governor there is no figure, and a pool that it does not know is named as such", () => {
  expect(() => admin(undefined).drain("default")).toThrow(/load.unknown/);
  expect(() => admin({ by: "g", at: 1, drains }).drain("other")).toThrow(/pool.not-found.*default/s);
});
