/** What the commands of `kb` share: their options, and the paths and pages of a collection. */
import { Command, Option } from "commander";
import { ask, type GatewayOptions, reachesGateway } from "./gateway.ts";

export interface KbOptions {
  readonly url?: string;
  readonly key?: string;
  readonly json?: boolean;
  readonly collection: string;
}

export interface Listed {
  readonly document: string;
  readonly title: string;
  readonly revision: number;
  readonly locale?: string;
  readonly hash: string;
  readonly at: number;
}

export const kbSubcommand = (name: string, description: string): Command =>
  reachesGateway(new Command(name).description(description))
    .addOption(new Option("-c, --collection <name>", "collection").default("shop"))
    .option("--json", "print JSON");

export const collectionPath = (collection: string): string =>
  `/v1/knowledge/${encodeURIComponent(collection)}`;
export const documentPath = (collection: string, document: string): string =>
  `${collectionPath(collection)}/${encodeURIComponent(document)}`;

/** Every document of a collection, the latest state of each: one that changed meanwhile comes again. */
export async function* listPages(gateway: GatewayOptions, collection: string): AsyncGenerator<Listed> {
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { body } = await ask(gateway, `${collectionPath(collection)}?after=${after}`);
    const page = body as { documents: Listed[]; next?: number };
    yield* page.documents;
    after = page.next;
  }
}

export async function allListed(gateway: GatewayOptions, collection: string): Promise<Listed[]> {
  const listed = new Map<string, Listed>();
  for await (const document of listPages(gateway, collection)) listed.set(document.document, document);
  return [...listed.values()];
}
