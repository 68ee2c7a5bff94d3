/**
 * What `tls://` in front of a server means: no word in the clear, and a certificate for the address that was written. nats.js
 * encrypts where a server offers it, and has the certificates of IP addresses checked against "localhost".
 */
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { NodeConnectionOptions } from "@nats-io/transport-node";

const SCHEME = "tls://";

/** Empty where no server is named by `tls://`. */
export function tlsOf(servers: readonly string[]): Pick<NodeConnectionOptions, "tls"> {
  if (!servers.some((server) => server.startsWith(SCHEME))) return {};
  const named = servers.map((server) =>
    new URL(server.replace(/^[a-z]+:/, "http:")).hostname.replace(/^\[(.*)\]$/, "$1"),
  );
  const addresses = named.filter((host) => isIP(host) !== 0);
  const tls: object = {
    checkServerIdentity(host: string, certificate: PeerCertificate): Error | undefined {
      // What Node falls back to: no name came, as the server is known by its address, and which of them is not told here.
      const wanted =
        host === "localhost" && !named.includes(host) && addresses.length > 0 ? addresses : [host];
      const errors = wanted.map((each) => checkServerIdentity(each, certificate));
      return errors.every((error) => error !== undefined) ? errors[0] : undefined;
    },
  };
  return { tls };
}
