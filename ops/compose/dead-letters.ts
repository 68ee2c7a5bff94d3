/** The dead letters of a deployment: messages, jobs and documents without vectors. */
import { redriveJob } from "#actors/conversation/dead-jobs.ts";
import { redriveDocument } from "#actors/knowledge/vectors/given-up.ts";
import { KNOWLEDGE } from "#contracts/subjects.ts";
import { DeadLetters } from "#runtime/actor/dead-letters.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";

export function deadLettersOf(bus: Bus, deployment: Deployment): DeadLetters {
  return new DeadLetters({
    bus,
    deployment,
    redriveBytes: (letter) =>
      letter.stream === KNOWLEDGE ? redriveDocument(bus, letter) : redriveJob(bus, deployment, letter),
  });
}
