/** The pump's peer: as many jobs of the same bytes through one stream and one consumer, pulled by nats.js as it is. */
import { join } from "node:path";
import { encode } from "#contracts/codec.ts";
import { makePlainStream, type PlainStream } from "#runtime/nats/plain-stream.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { startDeployed } from "./deployed.ts";
import {
  BUSY_SETTLING_SECONDS,
  cpuFigures,
  JOB_BYTES,
  jobOf,
  type PumpBenchOptions,
  play,
  SHORT_SHARE,
  spentIn,
  storingMs,
} from "./pump-load.ts";
import { randomFrom, round, textOf } from "./shape.ts";

export const BARE_JOBS = {
  name: "BAREJOBS",
  subjects: ["barejob.>"],
  kind: "work",
  consumer: "bare",
} as const satisfies PlainStream;
const UNSERVED: PlainStream = { name: "BAREUNSERVED", subjects: ["bareunserved.>"], kind: "work" };

/** @returns figures by the names of ours that they stand beside */
export async function measureBare(
  { natsBin, folder, workers, slots, modelMs, seconds, seed, say }: PumpBenchOptions,
  perSecond: number,
): Promise<Record<string, number>> {
  const part = "bare-consumer";
  const deployed = await startDeployed({
    ...{ natsBin, workers, slots, modelMs, hosts: 0, workerPart: part, folder: join(folder, part) },
    config: () => ({
      pools: { default: { models: [{ name: "echo", provider: "echo", concurrency: slots }] } },
    }),
  });
  try {
    const { bus } = deployed;
    await makePlainStream(bus, UNSERVED);
    const random = randomFrom(seed);
    const question = textOf(JOB_BYTES, random);
    let made = 0;
    let sent = 0;
    const playFor = (forSeconds: number, root = "barejob"): Promise<void> =>
      play(random, perSecond, forSeconds, async () => {
        const job = jobOf(made++, question, "default");
        await bus.append(`${root}.${job.session}`, encode(job), { id: job.id }).then(
          () => void sent++,
          () => {},
        );
      });
    const stored = async (): Promise<number> => (await streamState(bus, BARE_JOBS.name)).messages;
    say(`${workers} bare consumers of ${slots} slots, ${round(perSecond)} jobs/s for ${seconds} s`);
    await playFor(BUSY_SETTLING_SECONDS);
    const [before, left] = [sent, await stored()];
    const spent = await spentIn(deployed, () => playFor(seconds));
    const jobs = sent - before - ((await stored()) - left);
    const storing = await storingMs(
      deployed,
      () => playFor(seconds * SHORT_SHARE, "bareunserved"),
      () => sent,
    );
    return cpuFigures(spent, jobs, storing);
  } finally {
    await deployed.stop();
  }
}
