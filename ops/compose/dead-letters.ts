/** The dead letters of a deployment: messages, jobs and documents without vectors. */
import { deadJobs } from "#actors/conversation/dead-jobs.ts";
import { redriveDocument } from "#actors/knowledge/vectors/given-up.ts";
import { KNOWLEDGE } from "#contracts/subjects.ts";
import { DeadLetters } from "#runtime/actor/dead-letters.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";

export function deadLettersOf(bus: Bus, deployment: Deployment): DeadLetters {
  const jobs = deadJobs(bus, deployment);
  return new DeadLetters({
    bus,
    deployment,
    jobs: {
      redrive: (letter) =>
        letter.stream === KNOWLEDGE ? redriveDocument(bus, letter) : jobs.redrive(letter),
    },
  });
}
