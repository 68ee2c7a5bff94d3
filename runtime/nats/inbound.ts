/** Publishing to actors: whoever publishes computes the partition. */
import { ENVELOPE_VERSION, type Envelope, encodeEnvelope } from "#contracts/envelope.ts";
import { shardOf } from "#contracts/ids.ts";
import { type ActorRoute, inboundSubject, routeOf } from "#contracts/subjects.ts";
import type { Appended, Bus } from "./connect.ts";
import type { Deployment } from "./topology.ts";

export type Outgoing = Omit<Envelope, "v">;

/** Stores a message for an actor; resolves when it can no longer be lost. */
export function sendToActor(bus: Bus, message: Outgoing, timeoutMs?: number): Promise<Appended> {
  return bus.append(inboundSubject(routeOf(message)), encodeEnvelope({ v: ENVELOPE_VERSION, ...message }), {
    timeoutMs,
  });
}

export const shardOfRoute = (route: ActorRoute, deployment: Pick<Deployment, "shards">): number =>
  shardOf(route.partition, deployment.shards);
