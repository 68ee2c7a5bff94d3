/**
 * One model at several addresses or with several keys. A conversation stays with one of them, see `affinity.ts`. An
 * endpoint that fails rests for as long as its provider says; before the first token the next one is asked at once.
 */
import type { Job } from "#contracts/job.ts";
import type { Clock } from "#runtime/clock.ts";
import { affinityKey, orderEndpoints } from "../affinity.ts";
import { type FailureReason, failureOf, isOfModel, ModelFailure, mayGoOn } from "../failure.ts";
import type { Model, ModelRun } from "../port.ts";

export interface Endpoint {
  /** Its address; the same in all workers. */
  readonly id: string;
  readonly model: Model;
  /** Requests that it takes at once before another one is preferred. */
  readonly concurrency: number;
  /** Registers who is told when the headers of an answer say that a limit is used up, and for how long. */
  onUsedUp?(tell: (ms: number) => void): void;
}

interface Place {
  readonly id: string;
  readonly model: Model;
  readonly concurrency: number;
  running: number;
  /** It has answered. */
  worked: boolean;
  /** Failures since the last answer. */
  strikes: number;
  restsUntil: number;
  restsFor: FailureReason;
  /** Answers in a row that hasty callers did not wait for. */
  silences: number;
  /** Others are preferred until then. */
  lastUntil: number;
}

/** A limit without a named time: doubled at each further one. */
const LIMITED_MS = 1_000;
const LIMITED_MOST_MS = 30_000;
/** An address that fails among others that may not. */
const FAILED_MS = 500;
const FAILED_MOST_MS = 10_000;
/**
 * A key that is refused or an account that is empty needs a person. One that has worked begins with a second: some
 * providers, and walls before them, refuse a single request in this way, for its text or its size.
 */
const REFUSED_MS = 1_000;
const REFUSED_MOST_MS = 300_000;
/** The reset of a used-up limit names when it is whole again; some of it is back earlier. */
const USED_UP_MOST_MS = 60_000;
/** A try is not begun when less than this is left of the time. */
const LEAST_MS = 250;

export function rotating(name: string, endpoints: readonly Endpoint[], clock: Clock): Model {
  const places = endpoints.map((endpoint): Place => {
    const place: Place = {
      id: endpoint.id,
      model: endpoint.model,
      concurrency: endpoint.concurrency,
      running: 0,
      worked: false,
      strikes: 0,
      restsUntil: 0,
      restsFor: "failed",
      silences: 0,
      lastUntil: 0,
    };
    endpoint.onUsedUp?.((ms) => {
      place.lastUntil = clock.now() + Math.min(USED_UP_MOST_MS, ms);
    });
    return place;
  });
  const [{ model: first }] = places as [Place];
  return {
    name,
    provider: first.provider,
    ...(first.estimate ? { estimate: first.estimate.bind(first) } : {}),
    readyAt: () => Math.min(...places.map(({ restsUntil }) => restsUntil)),
    async run(job, run) {
      const tried = new Set<Place>();
      const until = run.until ?? job.deadline;
      let last: ModelFailure | undefined;
      for (;;) {
        const place = nextOf(places, tried, job, clock.now());
        if (!place || (last && until - clock.now() < LEAST_MS))
          throw verdict(places, tried, last, clock.now());
        tried.add(place);
        let spoke = false;
        const heard: ModelRun = {
          ...run,
          onText(text) {
            spoke ||= text !== "";
            run.onText(text);
          },
        };
        place.running++;
        try {
          const answer = await place.model.run(job, heard);
          place.worked = true;
          place.strikes = 0;
          place.silences = 0;
          return answer;
        } catch (error) {
          run.signal.throwIfAborted();
          last = failureOf(error);
          rest(place, last, places.length > 1, clock);
          if (spoke || !mayGoOn(last) || isOfModel(last)) throw last;
        } finally {
          place.running--;
        }
      }
    },
  };
}

function nextOf(
  places: readonly Place[],
  tried: ReadonlySet<Place>,
  job: Job,
  now: number,
): Place | undefined {
  const awake = places.filter((place) => !tried.has(place) && place.restsUntil <= now);
  if (awake.length < 2) return awake[0];
  return orderEndpoints(awake, affinityKey(job), ({ running, concurrency, lastUntil }) => ({
    resting: lastUntil > now,
    full: running >= concurrency,
  }))[0];
}

function rest(
  place: Place,
  { reason, restMs, uncounted }: ModelFailure,
  hasOthers: boolean,
  clock: Clock,
): void {
  const doubled = (first: number, most: number, times = place.strikes): number =>
    Math.min(most, first * 2 ** Math.min(10, times)) * (0.75 + clock.random() / 2);
  if (uncounted) {
    // It may be well and is taken from nobody; but where others answer, not every hasty caller has to find out.
    if (reason !== "timeout") return;
    const lastUntil = clock.now() + doubled(FAILED_MS, FAILED_MOST_MS, place.silences++);
    place.lastUntil = Math.max(place.lastUntil, lastUntil);
    return;
  }
  let ms = 0;
  if (reason === "limited" || reason === "overloaded")
    ms = restMs ?? (reason === "limited" || hasOthers ? doubled(LIMITED_MS, LIMITED_MOST_MS) : 0);
  else if (reason === "unauthorized" || reason === "exhausted")
    ms = place.worked ? doubled(REFUSED_MS, REFUSED_MOST_MS) : REFUSED_MOST_MS;
  // A single address that fails is the breaker's business.
  else if ((reason === "failed" || reason === "timeout") && hasOthers)
    ms = doubled(FAILED_MS, FAILED_MOST_MS);
  if (ms === 0) return;
  place.strikes++;
  place.restsFor = reason;
  // Requests that were under way together fail together, each with its own idea of the time.
  place.restsUntil = Math.max(place.restsUntil, clock.now() + ms);
}

/** A model is refused only when every endpoint refuses; with one that is merely limited it is worth waiting for. */
function verdict(
  places: readonly Place[],
  tried: ReadonlySet<Place>,
  last: ModelFailure | undefined,
  now: number,
): ModelFailure {
  const rests = ({ restsFor }: Place): boolean => restsFor === "unauthorized";
  const resting = places.filter((place) => place.restsUntil > now);
  if (resting.length === places.length && resting.every(rests))
    return last ?? new ModelFailure("unauthorized", "every key of the model was refused a while ago");
  if (last && tried.size > 0 && last.reason !== "unauthorized") return last;
  const [soonest] = resting.filter((place) => !rests(place)).sort((a, b) => a.restsUntil - b.restsUntil);
  const { restsFor, restsUntil } = soonest ?? { restsFor: "failed" as const, restsUntil: now };
  return new ModelFailure(
    restsFor,
    `every endpoint rests (${restsFor})`,
    Math.max(0, Math.ceil(restsUntil - now)),
  );
}
