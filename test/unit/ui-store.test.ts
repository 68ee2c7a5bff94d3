// The page's state where its key is refused in the middle of a visit: each try with a wrong key counts as guessing, and
// who guesses too often locks out everybody at that address.
import { afterEach, beforeEach, expect, test, vi } from "vitest";

interface Page {
  readonly connection: { readonly value: string };
  readonly running: { readonly value: unknown };
  dispatch(action: unknown): void;
  start(): void;
}
interface Sending {
  giveKey(key: string): void;
}
// Typed with the page, whose globals tests have not.
const [store, sending]: readonly string[] = ["#ops/ui/store.ts", "#ops/ui/sending.ts"];

const asked: { path: string; key: string }[] = [];
let valid = "demo";
let erased = false;

beforeEach(() => {
  valid = "demo";
  erased = false;
  vi.resetModules();
  vi.useFakeTimers();
  const nowhere = { getItem: () => null, setItem: () => {} };
  for (const name of ["localStorage", "sessionStorage"]) vi.stubGlobal(name, nowhere);
  vi.stubGlobal("document", { baseURI: "http://page.test/", addEventListener: () => {} });
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("fetch", async (url: URL, { headers }: { headers: Record<string, string> }) => {
    const key = (headers.authorization ?? "").slice("Bearer ".length);
    asked.push({ path: url.pathname, key });
    if (key !== valid) return new Response(null, { status: 401 });
    if (erased && !url.pathname.endsWith("/events")) return new Response(null, { status: 404 });
    if (url.pathname.endsWith("/events")) return new Response(new ReadableStream({ start() {} }));
    return Response.json({ session: "s", status: "idle", turns: [] });
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a key that is refused while something is to be read asks for another one, and is tried no more", async () => {
  const page = (await import(store as string)) as Page;
  const { giveKey } = (await import(sending as string)) as Sending;
  page.start();
  await vi.waitFor(() => expect(page.connection.value).toBe("live"));
  valid = "another";
  // A message of another tab: only the transcript has its text.
  page.dispatch({
    type: "event",
    event: { type: "turn", turn: 1, attempt: 0, number: 0, messages: ["m-1"] },
  });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(page.connection.value).toBe("locked");
  expect(asked.filter(({ key }) => key === "demo").length).toBeLessThan(5);
  giveKey("another");
  await vi.waitFor(() => expect(page.connection.value).toBe("live"));
  expect(asked.at(-1)).toMatchObject({ key: "another" });
});

test("a turn of a conversation that somebody else erased runs no more", async () => {
  const page = (await import(store as string)) as Page;
  page.start();
  await vi.waitFor(() => expect(page.connection.value).toBe("live"));
  page.dispatch({
    type: "event",
    event: { type: "turn", turn: 2, attempt: 0, number: 0, messages: [] },
  });
  expect(page.running.value).toBeDefined();
  erased = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(page.running.value).toBeUndefined();
});
