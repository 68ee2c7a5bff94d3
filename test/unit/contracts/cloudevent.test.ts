// What CloudEvents of other systems mean, in the ways in which those write the same thing.
import { expect, test } from "vitest";
import { changeOf, cloudEventSchema, type DocumentChange } from "#contracts/cloudevent.ts";

const given = { specversion: "1.0", id: "e1", source: "/cms", type: "article.updated" };
const read = (more: Record<string, unknown>): DocumentChange =>
  changeOf(cloudEventSchema.parse({ ...given, ...more }));

test("a document is named by the subject, else by the data, by a number as well; a deletion too", () => {
  expect(read({ data: { id: 7, text: "x" } }).document).toBe("7");
  expect(read({ subject: "a", data: { id: 7, text: "x" } }).document).toBe("a");
  const type = "article.deleted";
  expect(read({ type, data: { id: 7 } })).toMatchObject({ document: "7", input: undefined });
  expect(read({ type, data: '{"id":"b"}' }).document).toBe("b");
  expect(read({ type, subject: "a", data: "gone" }).document).toBe("a");
  expect(() => read({ type, data: { title: "x" } })).toThrow(/names the document/);
});

test("null stands for what is not there", () => {
  const data = { id: "a", text: "x", title: null, url: null, locale: null, tags: null };
  expect(read({ data }).input).toEqual({ title: "a", text: "x" });
});

test("a time may be written in small letters", () => {
  const time = "2026-01-02T00:00:00Z";
  expect(read({ subject: "a", data: { text: "x" }, time: time.toLowerCase() }).at).toBe(Date.parse(time));
});
