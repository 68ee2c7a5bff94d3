/** What a check of `doctor` is given, and what it says. */
import type { Settings } from "#ops/settings.ts";
import type { GatewayOptions } from "../gateway.ts";

export interface Patient {
  readonly settings: Settings;
  readonly gateway: GatewayOptions;
  readonly natsUrl: string;
  /** What was named rather than a default: then nobody answering there is a failure, not a start that is to come. */
  readonly named: { readonly gateway: boolean; readonly nats: boolean };
}
export interface Finding {
  readonly check: string;
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  readonly next?: string;
}
export type Found = Omit<Finding, "check">;
export type Check = (patient: Patient) => Promise<Found>;

export const ok = (found: string): Found => ({ state: "ok", found });
export const warn = (found: string, next: string): Found => ({ state: "warn", found, next });
export const fail = (found: string, next: string): Found => ({ state: "fail", found, next });
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
