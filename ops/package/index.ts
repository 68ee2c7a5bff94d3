/** What `jetclaw` exports: everything a `jetclaw.config.ts` is written with, and the client. */
import type { z } from "zod";
import type { ConfigInput, EnvReference } from "#contracts/config.ts";

export type { ConfigInput as JetclawConfig, EnvReference } from "#contracts/config.ts";
export { env } from "#contracts/config.ts";
export { JetclawError } from "#contracts/errors.ts";
export { type Actor, type ActorKind, type ActorOptions, defineActor } from "#runtime/actor/define.ts";
export { type Client, createClient } from "./client.ts";

/** Gives the configuration its type; what is wrong in it shows in the editor. */
export const defineConfig = (config: ConfigInput): ConfigInput => config;

/** What a tool knows of the call it serves. */
export interface ToolCall {
  /** The person who talks to the bot, where the channel knows. */
  readonly user: { readonly id: string } | undefined;
  readonly tenant: string;
  readonly session: string;
  /** The same for a repeat of the call, so that it can be made harmless. */
  readonly idempotencyKey: string;
  /** Aborted when the time is up or the turn is stopped. */
  readonly signal: AbortSignal;
}

export interface Tool<Input extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** Read by the model when it decides whether to call. */
  readonly description: string;
  readonly input: Input;
  readonly timeoutMs?: number;
  run(input: z.output<Input>, call: ToolCall): Promise<unknown>;
}

/** A typed function that an assistant may call. */
export const defineTool = <Input extends z.ZodType>(tool: Tool<Input>): Tool<Input> => tool;

type SecretReference = string | EnvReference | { readonly file: string };
export interface WhatsAppOptions {
  readonly phoneNumberId: string;
  readonly token: SecretReference;
  readonly appSecret: SecretReference;
  readonly verifyToken: SecretReference;
}
export interface WhatsAppChannel extends WhatsAppOptions {
  readonly type: "whatsapp";
}

/** The WhatsApp Cloud API as a channel. */
export const whatsapp = (options: WhatsAppOptions): WhatsAppChannel => ({ type: "whatsapp", ...options });
