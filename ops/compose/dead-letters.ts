/** The dead letters of a deployment, messages and jobs. */
import { deadJobs } from "#actors/conversation/dead-jobs.ts";
import { DeadLetters } from "#runtime/actor/dead-letters.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";

export const deadLettersOf = (bus: Bus, deployment: Deployment): DeadLetters =>
  new DeadLetters({ bus, deployment, jobs: deadJobs(bus, deployment) });
