// What a stream's leader answers, read without nats.js.
import { expect, test } from "vitest";
import { headOf, readCount, readLeaderAnswer } from "#runtime/nats/leader-answer.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const error = (err_code: number, description: string): string =>
  JSON.stringify({ type: "x", error: { code: 404, err_code, description } });

test("a message with its headers", () => {
  const head = "NATS/1.0\r\nKV-Operation: DEL\r\nNats-Marker-Reason:MaxAge\r\n\r\n";
  const message = {
    subject: "$KV.b.k",
    seq: 7,
    data: base64("héllo"),
    hdrs: base64(head),
    time: "2026-11-26T06:00:00.123456789Z",
  };
  const read = readLeaderAnswer(JSON.stringify({ type: "x", message }));
  if (typeof read === "string") throw new Error(read);
  expect(new TextDecoder().decode(read.data)).toBe("héllo");
  expect([read.subject, read.seq, read.at]).toEqual(["$KV.b.k", 7, Date.UTC(2026, 10, 26, 6, 0, 0, 123)]);
  expect(headOf(read.head, "kv-operation")).toBe("DEL");
  expect(headOf(read.head, "Nats-Marker-Reason")).toBe("MaxAge");
  expect(headOf(read.head, "Nats-TTL")).toBe("");
});

test("an empty message has neither data nor headers", () => {
  const read = readLeaderAnswer(
    JSON.stringify({ message: { subject: "s", seq: 1, time: "2026-11-26T06:00:00Z" } }),
  );
  expect(read).toMatchObject({ seq: 1, head: "" });
  expect(typeof read !== "string" && read.data.length).toBe(0);
});

test("no message and no stream are answers, everything else is an error that names what the server said", () => {
  expect(readLeaderAnswer(error(10037, "no message found"))).toBe("no-message");
  expect(readLeaderAnswer(error(10059, "stream not found"))).toBe("no-stream");
  expect(() => readLeaderAnswer(error(10008, "system temporarily unavailable"))).toThrow(
    /system temporarily unavailable/,
  );
  expect(() => readLeaderAnswer("{}")).toThrow(/not an answer/);
});

test("a count is read from a description, and nothing else is taken for one", () => {
  const config = { name: "INFER-x", max_msgs: 7, metadata: { messages: "9" } };
  expect(readCount(JSON.stringify({ type: "x", config, state: { messages: 12, bytes: 3 } }))).toBe(12);
  expect(() => readCount(error(10059, "stream not found"))).toThrow("stream not found");
  expect(() => readCount(JSON.stringify({ config }))).toThrow("not a description");
});
