// Why there is no connection, as whoever starts a process reads it.
import { type AddressInfo, createServer } from "node:net";
import { expect, test } from "vitest";
import { connectBus } from "#runtime/nats/connect.ts";
import { notConnected } from "#runtime/nats/not-connected.ts";
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
