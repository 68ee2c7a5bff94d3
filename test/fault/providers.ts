// Providers that limit, fail, hang, cut, lie and drip, behind a whole deployment: each turn is answered by the fallback or
// apologised for within its deadline, and the provider's bill shows no request that outlived the deadline of its turn.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigInput } from "#contracts/config.ts";
import { startDeployed } from "#ops/bench/deployed.ts";
import { type Asked, OpenLoop } from "#ops/bench/open-loop.ts";
import type { BillLine } from "#ops/simulator/bill.ts";
import { DEFAULTS, type SimulatorOptions } from "#ops/simulator/options.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { ensureNatsServer } from "#runtime/nats/server.ts";
import type { Findings } from "./midstream.ts";

export interface ProviderOptions {
  readonly seed: number;
  /** Turns a fault, each with and without a fallback. */
  readonly turns: number;
  /** Bills are held against a deadline that turns do not have: late requests must be found. */
  readonly control: boolean;
  readonly say: (line: string) => void;
}

const DEADLINE_MS = 13_000;
const CONTROL_DEADLINE_MS = 500;
/** From the deadline to the record that is read here. */
const GRACE_MS = 1_000;
const TIMEOUTS = { firstTokenMs: 1_500, betweenTokensMs: 1_500, totalMs: 4_000 };

const FAULTS: Readonly<Record<string, Partial<SimulatorOptions>>> = {
  "HTTP 429": { errorRate: 1, status: 429, retryAfter: 30 },
  "HTTP 500": { errorRate: 1 },
  hang: { hangRate: 1 },
  "half a stream": { halfStreamRate: 1, tokensPerSecond: 200 },
  garbage: { garbageRate: 1 },
  "slow drip": { tokensPerSecond: 2, replyBytes: 400 },
  // Some of everything, as bad days are.
  mixed: { errorRate: 0.2, hangRate: 0.2, halfStreamRate: 0.2, garbageRate: 0.2 },
};

const NAMES = Object.keys(FAULTS);
const ASSISTANTS = ["helped", "alone"] as const;

export async function providers({ seed, turns, control, say }: ProviderOptions): Promise<Findings> {
  const startedAt = Date.now();
  // A provider a fault: breakers and rests of one say nothing about the next.
  const bad = await Promise.all(
    Object.values(FAULTS).map((fault) => startSimulator({ ...DEFAULTS, ...fault, seed, port: 0 })),
  );
  const good = await startSimulator({ seed, answer: () => "the other one answers" });
  const deployed = await startDeployed({
    natsBin: await ensureNatsServer({ log: () => {}, given: process.env.NATS_SERVER_BIN }),
    folder: await mkdtemp(join(tmpdir(), "jetclaw-providers-")),
    hosts: 1,
    workers: 1,
    governors: 0,
    slots: 64,
    simulators: [],
    config: () => configOf(bad, good),
  });
  const figures: Record<string, number> = {};
  const broken: string[] = [];
  try {
    const loop = await OpenLoop.open(deployed.bus);
    const openedAt = Date.now() - loop.now();
    for (const [n, fault] of NAMES.entries()) {
      const from = loop.asked.length;
      for (let turn = 0; turn < turns; turn++)
        for (const assistant of ASSISTANTS) loop.ask(questionOf(n, assistant, turn));
      await loop.settled(DEADLINE_MS + 10_000);
      const asked = loop.asked.slice(from);
      const requests = bad[n]?.bill().length ?? 0;
      // Who was never asked cannot have failed.
      if (requests < turns) broken.push(`${fault}: the provider was asked ${requests} times`);
      broken.push(...judge(fault, asked));
      say(`${fault}: ${summary(asked)}; asked ${requests} times`);
      figures[`mostMs ${fault}`] = Math.round(
        Math.max(...asked.map(({ latencyMs }) => latencyMs ?? Number.POSITIVE_INFINITY)),
      );
    }
    const lines = [...bad, good].flatMap((each) => each.bill());
    const outcomes = (outcome: string): number =>
      loop.asked.filter(({ record }) => record?.outcome === outcome).length;
    const dueAt = new Map(loop.asked.map(({ session, dueAt }) => [session, openedAt + dueAt]));
    const late = lines.filter((line) => outlived(line, dueAt, control ? CONTROL_DEADLINE_MS : DEADLINE_MS));
    if (late.length > 0) broken.push(`${late.length} requests ran on after the deadline of their turn`);
    Object.assign(figures, {
      turns: loop.asked.length,
      answered: outcomes("answered"),
      apologised: outcomes("failed"),
      requests: lines.length,
      paidAfterDeadline: late.length,
      seconds: Math.round((Date.now() - startedAt) / 1_000),
    });
    return { figures, broken };
  } finally {
    await deployed.stop();
    await Promise.all([...bad, good].map((each) => each.close()));
  }
}

/** Each failing provider behind two pools: one with a fallback, one without. */
function configOf(bad: readonly Simulator[], good: Simulator): ConfigInput {
  const each = <T>(of: (assistant: (typeof ASSISTANTS)[number], baseUrl: string, name: string) => T) =>
    Object.fromEntries(
      bad.flatMap(({ baseUrl }, n) =>
        ASSISTANTS.map((assistant) => [`${assistant}-${n}`, of(assistant, baseUrl, `${assistant}-${n}`)]),
      ),
    );
  return {
    turnDeadlineMs: DEADLINE_MS,
    responseCache: false,
    assistants: each((_assistant, _baseUrl, name) => ({ model: name, knowledge: [] })),
    pools: {
      ...each((assistant, baseUrl, name) => ({
        models: [{ name: `model-${name}`, baseUrl, concurrency: 64, timeouts: TIMEOUTS }],
        fallback: assistant === "helped" ? ["spare"] : [],
      })),
      spare: { models: [{ name: "second", baseUrl: good.baseUrl, concurrency: 64 }] },
    },
  };
}

const questionOf = (fault: number, assistant: string, n: number) => ({
  tenant: "demo",
  session: `fault${fault}-${assistant}-${n}`,
  text: `Question ${n} of ${assistant}`,
  group: assistant,
  assistant: `${assistant}-${fault}`,
});

function judge(fault: string, asked: readonly Asked[]): string[] {
  const broken: string[] = [];
  const say = (n: number, what: string): void => {
    if (n > 0) broken.push(`${fault}: ${n} turns ${what}`);
  };
  say(asked.filter(({ records }) => records !== 1).length, "without exactly one record");
  say(
    asked.filter(({ latencyMs }) => (latencyMs ?? Number.POSITIVE_INFINITY) > DEADLINE_MS + GRACE_MS).length,
    "answered after their deadline",
  );
  say(
    asked.filter(({ group, record }) => group === "helped" && record?.outcome !== "answered").length,
    "with a fallback were not answered",
  );
  return broken;
}

function summary(asked: readonly Asked[]): string {
  const count = (group: string, outcome: string): number =>
    asked.filter((each) => each.group === group && each.record?.outcome === outcome).length;
  return `with a fallback ${count("helped", "answered")} answered, alone ${count("alone", "answered")} answered and ${count("alone", "failed")} apologised for`;
}

/** Ids of jobs hold the session, and every turn here has one of its own. */
function outlived(line: BillLine, dueAt: ReadonlyMap<string, number>, deadlineMs: number): boolean {
  const session = line.job?.split(".").find((part) => dueAt.has(part));
  const until = (dueAt.get(session ?? "") ?? Number.NEGATIVE_INFINITY) + deadlineMs;
  return (line.endedAt ?? Number.POSITIVE_INFINITY) > until;
}
