// Faults of workers and providers: 2 killed in mid-stream, 16 a provider that fails. Both are runs of their own kind: what
// a client reads, and what a provider bills.
import { midstream } from "../midstream.ts";
import { providers } from "../providers.ts";
import type { Row } from "../row.ts";

const KILLS = 100;
const TURNS = 5;

const workerKilled: Row = {
  fault: 2,
  name: "model worker killed in mid-stream",
  target: "restart visible within 6 s, never two answers glued together",
  control: "the client reads on after a restart as if nothing was",
  run: ({ seed, control, times, say }) =>
    midstream({ seed, control, kills: times ?? (control ? 8 : KILLS), say }),
};

const providerFails: Row = {
  fault: 16,
  name: "model provider 429, 500, hang, half, garbage",
  target: "answer or apology before the deadline",
  control: "bills are held against a deadline that turns do not have",
  run: ({ seed, control, times, say }) => providers({ seed, control, turns: times ?? TURNS, say }),
};

export const modelRows: readonly Row[] = [workerKilled, providerFails];
