/**
 * Addresses of media in a request. We fetch nothing, but a model server beside us may, so an address that leads into
 * our own network is refused as it is written; a name that resolves there is for the model server to refuse.
 */
import { BlockList, isIP } from "node:net";
import { refuse } from "./check.ts";

const PRIVATE = new BlockList();
for (const [net, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const)
  PRIVATE.addSubnet(net, prefix, "ipv4");
for (const [net, prefix] of [
  ["::", 96],
  ["64:ff9b::", 96],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
  ["2002::", 16],
] as const)
  PRIVATE.addSubnet(net, prefix, "ipv6");

const INTERNAL_NAME = /(^|\.)(localhost|local|internal|intranet|lan|home|arpa)$/;
const IMAGE = /^data:image\/[a-z0-9.+-]{1,64};base64,[A-Za-z0-9+/]*={0,2}$/;

/** @throws OpenAiRefusal 400 unless it is https, http or an image as data */
export function assertPublicUrl(text: string, param: string): void {
  if (text.startsWith("data:")) {
    if (!IMAGE.test(text)) refuse(param, "data must be an image in base64");
    return;
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse(param, "it is no URL");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    refuse(param, "only https, http and data are accepted");
  if (url.username || url.password) refuse(param, "it must carry no credentials");
  // The parser has turned decimal, octal and hexadecimal forms into dotted ones.
  const host = url.hostname.toLowerCase().replace(/^\[|\]$|\.$/g, "");
  const kind = isIP(host);
  const inside = kind === 0 ? !host.includes(".") || INTERNAL_NAME.test(host) : isInside(host, kind);
  if (inside) refuse(param, "the address is not public");
}

function isInside(host: string, kind: number): boolean {
  // BlockList knows IPv4 inside of IPv6 by itself.
  return PRIVATE.check(host, kind === 4 ? "ipv4" : "ipv6");
}
