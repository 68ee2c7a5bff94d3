/**
 * One run at a time makes the vectors of a space anew: two would drop the collections that each other fills. By a lease
 * that is renewed for as long as the run lasts, so a run that died is taken over once it has been silent for long enough.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { JetclawError } from "#contracts/errors.ts";
import { tokenOf } from "#contracts/ids.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Lease, type LeaseHolder } from "#runtime/placement/lease.ts";

/** Silence after which a run counts as dead; `vectors.busy` names it. */
const LEASE_MS = 15_000;
const RENEWALS = 5;
const LOOKS = 30;

export interface AloneOptions {
  readonly space: string;
  /** For people: who runs this, and where. No two runs have the same. */
  readonly owner: string;
  readonly leaseMs?: number | undefined;
  /** Somebody else has it, and may be dead: that shows within the lease. */
  readonly onWaiting?: ((holder: LeaseHolder) => void) | undefined;
}

/**
 * @param work gets what throws once another run has taken over, to be asked before each step
 * @throws JetclawError `vectors.busy` where another run is alive, `nats.unavailable`; what the work throws
 */
export async function alone<T>(
  bus: Bus,
  { space, owner, leaseMs = LEASE_MS, onWaiting }: AloneOptions,
  work: (stillAlone: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const key = `lease.reindex.${tokenOf(space)}`;
  const lease = new Lease({ bus, clock: systemClock, key, owner, leaseMs });
  for (let told = false; !(await lease.hold()); told = true) {
    const { holder } = lease;
    if (holder?.alive) throw busy(space, holder);
    if (holder && !told) onWaiting?.(holder);
    await sleep(leaseMs / LOOKS);
  }
  const { since } = lease;
  let lost = false;
  let renewing: Promise<void> | undefined;
  const renew = (): Promise<void> => {
    renewing ??= lease
      .hold()
      .then((held) => {
        // Also where another run has had it and is through: what this one has filled is not there any more.
        lost ||= !held || lease.since !== since;
      })
      .finally(() => {
        renewing = undefined;
      });
    return renewing;
  };
  // A store that is away gives it to nobody else either.
  const timer = setInterval(() => void renew().catch(() => {}), leaseMs / RENEWALS);
  try {
    return await work(async () => {
      await renew();
      if (lost) throw busy(space, lease.holder);
    });
  } finally {
    clearInterval(timer);
    await renewing?.catch(() => {});
    await lease.release().catch(() => {});
  }
}

function busy(space: string, holder: LeaseHolder | undefined): JetclawError {
  const { owner = "another run", since } = holder ?? {};
  const began = since === undefined ? "" : `, since ${new Date(since).toISOString()}`;
  return new JetclawError("vectors.busy", `${owner} makes those of ${space} anew${began}`);
}
