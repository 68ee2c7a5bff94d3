// What the page remembers between visits and beside another tab, and a key that no request can carry.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ApiFailure, createApi } from "#ops/ui/api.ts";
import { loadKey, loadOutbox, loadSession, newSession, saveKey, saveOutbox } from "#ops/ui/storage.ts";
import type { PendingMessage } from "#ops/ui/view.ts";

const storage = (): Pick<Storage, "getItem" | "setItem"> => {
  const items = new Map<string, string>();
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => void items.set(name, value),
  };
};

beforeEach(() => {
  for (const name of ["localStorage", "sessionStorage"]) vi.stubGlobal(name, storage());
});
afterEach(() => {
  vi.unstubAllGlobals();
});

test("what waits in one tab is not sent into the conversation that another tab has begun", () => {
  const mine = loadSession();
  const waiting: PendingMessage = { id: "m-1", text: "Hello?", at: 1, delivery: { state: "sending" } };
  const theirs = newSession();
  saveOutbox(mine, [waiting]);
  expect(loadSession()).toBe(theirs);
  expect(loadOutbox(theirs)).toEqual([]);
  expect(loadOutbox(mine)).toEqual([waiting]);
});

test("a key holds for the visit where the browser remembers nothing", () => {
  const blocked = (): never => {
    throw new DOMException("blocked", "SecurityError");
  };
  vi.stubGlobal("sessionStorage", { getItem: blocked, setItem: blocked });
  saveKey("sk-given");
  expect(loadKey()).toBe("sk-given");
});

test.each(["sk\u200b-1", "ключ", "sk 1\n"])(
  "a key that no request can carry is a wrong key (%j)",
  async (key) => {
    const api = createApi("http://127.0.0.1:1/", () => key);
    await expect(api.stop("web-1")).rejects.toMatchObject({ kind: "key" } satisfies Partial<ApiFailure>);
  },
);
