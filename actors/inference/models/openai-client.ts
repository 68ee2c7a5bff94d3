/** The SDK's client as we use it: it makes requests and classifies errors; configuration and retries are ours. */
import OpenAI from "openai";
import { connectingFetch } from "./dispatcher.ts";

export function openaiClient(baseUrl: string, apiKey: string | undefined, connectMs?: number): OpenAI {
  return new OpenAI({
    baseURL: baseUrl,
    apiKey: apiKey ?? "none",
    // Every value that the SDK would otherwise read from the environment is given.
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    maxRetries: 0,
    logLevel: "off",
    // A configured address that redirects elsewhere would carry the key and the conversation there.
    fetchOptions: { redirect: "error" },
    fetch: connectingFetch(connectMs),
  });
}
