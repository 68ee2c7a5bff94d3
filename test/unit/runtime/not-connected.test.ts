// Why there is no connection, as whoever starts a process reads it.
import { type AddressInfo, createServer } from "node:net";
import type { PeerCertificate } from "node:tls";
import { TimeoutError } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { connectBus } from "#runtime/nats/connect.ts";
import { notConnected } from "#runtime/nats/not-connected.ts";
import { tlsOf } from "#runtime/nats/tls.ts";
import { createLog } from "#runtime/observe/log.ts";

test("a certificate that is not trusted is told as that, and waiting for it does not help", () => {
  const untrusted = Object.assign(new Error("self-signed"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  expect(notConnected("tls://a:1", untrusted)).toMatchObject({
    code: "start.refused",
    retry: "never",
    message: expect.stringMatching(/TLS with tls:\/\/a:1 fails \(DEPTH_ZERO.*NODE_EXTRA_CA_CERTS/),
  });
});

test("a server that speaks no TLS where it says so, and one that is not there, are told apart", async () => {
  const info = { server_id: "x", version: "2.99.0", proto: 1, max_payload: 1, tls_required: true };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end("no handshake\r\n"));
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const servers = `nats://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { name: "test", log: createLog({ level: "silent" }) };
  await expect(connectBus({ ...options, servers })).rejects.toThrow(/TLS with .* fails \((ERR_SSL|EPROTO)/);
  await new Promise((resolve) => server.close(resolve));
  await expect(connectBus({ ...options, servers })).rejects.toThrow(/cannot connect to .*\(ECONNREFUSED\)/);
});

test("a server that accepts and says nothing is told from one that is not there", () => {
  expect(notConnected("nats://a:1", new TimeoutError())).toMatchObject({
    code: "nats.unavailable",
    detail: "cannot connect to nats://a:1: no answer in time",
  });
});

test("who writes tls:// sends no password in the clear", async () => {
  let heard = "";
  const info = { server_id: "x", version: "2.99.0", proto: 1, max_payload: 1, auth_required: true };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      heard += String(data);
    });
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const servers = `tls://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { user: "ann", pass: "secret" };
  await expect(
    connectBus({ servers, name: "test", log: createLog({ level: "silent" }), credentials }),
  ).rejects.toThrow(/start.refused: tls:.* speaks no TLS/);
  expect(heard).toBe("");
  await new Promise((resolve) => server.close(resolve));
});

test("a certificate is checked against the address that was written, also an IP address", () => {
  expect(tlsOf(["nats://10.0.0.1:4222"])).toEqual({});
  const check = (servers: string[], host: string, subjectaltname: string) =>
    (tlsOf(servers).tls as TlsOptions).checkServerIdentity(host, {
      subject: { CN: "x" },
      subjectaltname,
    } as PeerCertificate);
  const cluster = ["tls://10.0.0.1:4222", "tls://[fe80::1]:4222"];
  // Node says "localhost" where a server is known by its address alone.
  expect(check(cluster, "localhost", "IP Address:10.0.0.1")).toBeUndefined();
  expect(check(cluster, "localhost", "IP Address:FE80:0:0:0:0:0:0:1")).toBeUndefined();
  expect(check(cluster, "localhost", "IP Address:10.0.0.9")).toBeInstanceOf(Error);
  expect(check(cluster, "localhost", "DNS:localhost")).toBeInstanceOf(Error);
  expect(check(["tls://localhost:4222"], "localhost", "DNS:localhost")).toBeUndefined();
  expect(check(["tls://a.example", "tls://10.0.0.1"], "a.example", "IP Address:10.0.0.1")).toBeInstanceOf(
    Error,
  );
});
interface TlsOptions {
  checkServerIdentity(host: string, certificate: PeerCertificate): Error | undefined;
}
