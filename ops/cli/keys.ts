/** `jetclaw keys`: API keys. The first one of a deployment is made over NATS, as no gateway would let anyone in yet. */
import { Command, Option } from "commander";
import { type KeyInfo, SCOPES } from "#actors/gateway/port.ts";
import { CliFailure, usage } from "./failure.ts";
import { ask, gatewayOf, reachesGateway } from "./gateway.ts";
import { note, print, printColumns, printJson } from "./print.ts";

interface KeysFlags {
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly json?: boolean;
}
type CreatedKey = KeyInfo & { readonly key: string };

export function keysCommand(): Command {
  return new Command("keys")
    .description("API keys: create, ls, revoke")
    .addHelpText(
      "after",
      `
Examples:
  jetclaw keys create --tenant acme --label website
  jetclaw keys create --tenant acme --scopes admin --nats nats://127.0.0.1:14222   the first one
  jetclaw keys ls
  jetclaw keys revoke 3f9a1c5b2d7e8f60`,
    )
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand());
}

const common = (name: string, description: string): Command =>
  reachesGateway(new Command(name).description(description))
    .addOption(new Option("--nats <url>", "go to NATS directly: for the first key of a deployment"))
    .option("--json", "print JSON");

function createCommand(): Command {
  return common("create", "make a key; it is shown this once")
    .requiredOption("--tenant <tenant>", "whose key it is")
    .option("--label <text>", "what it is for", "")
    .option("--scopes <list>", `what it may do, of ${SCOPES.join(",")}`, "chat,knowledge,actors")
    .addHelpText("after", "\nExample:\n  jetclaw keys create --tenant acme --label website --scopes chat")
    .action(async (flags: KeysFlags & { tenant: string; label: string; scopes: string }) => {
      const wish = { tenant: flags.tenant, label: flags.label, scopes: scopesOf(flags.scopes) };
      const created = flags.nats
        ? await (await import("./direct.ts")).withFirstKeys(flags.nats, (keys) =>
            keys.create(wish.tenant, wish),
          )
        : ((await ask(gatewayOf(flags), "/v1/admin/keys", { method: "POST", body: wish }))
            .body as CreatedKey);
      if (flags.json) return printJson(created);
      print(created.key);
      note(`Key ${created.id} of tenant ${created.tenant}. It is not shown again; keep it.`);
    });
}

function listCommand(): Command {
  return common("ls", "list keys, without the keys themselves")
    .option("--tenant <tenant>", "only of this tenant")
    .addHelpText("after", "\nExample:\n  jetclaw keys ls --tenant acme")
    .action(async (flags: KeysFlags & { tenant?: string }) => {
      const keys = await listed(flags);
      if (flags.json) return printJson({ keys });
      if (keys.length === 0)
        return note("There are no keys. Make one: jetclaw keys create --tenant <tenant>");
      printColumns(
        ["ID", "TENANT", "SCOPES", "LABEL", "CREATED", "STATE"],
        keys.map((key) => [
          key.id,
          key.tenant,
          key.scopes.join(","),
          key.label,
          new Date(key.createdAt).toISOString().slice(0, 16),
          key.revokedAt === undefined ? "active" : "revoked",
        ]),
      );
    });
}

async function listed(flags: KeysFlags & { tenant?: string }): Promise<readonly KeyInfo[]> {
  const { nats, tenant } = flags;
  if (nats) return (await import("./direct.ts")).withKeys(nats, (keys) => keys.list(tenant));
  const query = tenant ? `?tenant=${encodeURIComponent(tenant)}` : "";
  return ((await ask(gatewayOf(flags), `/v1/admin/keys${query}`)).body as { keys: KeyInfo[] }).keys;
}

function revokeCommand(): Command {
  return common("revoke", "end a key at once")
    .argument("<id>", "its id, as `jetclaw keys ls` shows it")
    .addHelpText("after", "\nExample:\n  jetclaw keys revoke 3f9a1c5b2d7e8f60")
    .action(async (id: string, flags: KeysFlags) => {
      const revoked = flags.nats
        ? await (await import("./direct.ts")).withKeys(flags.nats, (keys) => keys.revoke(id))
        : (
            await ask(gatewayOf(flags), `/v1/admin/keys/${encodeURIComponent(id)}`, {
              method: "DELETE",
              accept: [404],
            })
          ).status !== 404;
      if (!revoked) throw new CliFailure(`there is no key ${id}`, { next: "jetclaw keys ls shows the ids." });
      if (flags.json) printJson({ id, revoked: true });
      else print(`Key ${id} is revoked.`);
    });
}

function scopesOf(list: string): (typeof SCOPES)[number][] {
  const scopes = list.split(",").map((each) => each.trim());
  const unknown = scopes.filter((each) => !(SCOPES as readonly string[]).includes(each));
  if (unknown.length > 0)
    throw usage(`unknown scope ${unknown.join(", ")}`, `Scopes are ${SCOPES.join(", ")}.`);
  return scopes as (typeof SCOPES)[number][];
}
