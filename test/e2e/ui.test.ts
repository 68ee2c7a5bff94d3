import type { Browser, Page } from "@playwright/test";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Citation } from "#contracts/content.ts";
import { ensureUi } from "#ops/tool/ui.ts";
import {
  ask,
  assertAccessible,
  assertFitsWidth,
  chromiumPath,
  DESKTOP,
  launch,
  Pages,
  PHONE,
  SOON,
  withoutChromium,
} from "./browser.ts";
import { ScriptedGateway } from "./scripted-gateway.ts";

const PASSAGE = "Delivery takes 1 to 2 working days within the Netherlands.";
const QUOTED: Citation = {
  ...{ collection: "shop", document: "delivery-en", revision: 12, title: "Delivery times and costs" },
  ...{ url: "https://shop.example/help/en/delivery", passage: PASSAGE },
};
const NAMED: Citation = { collection: "shop", document: "abroad-en", revision: 13, title: "Delivery abroad" };
const REPLY = "Delivery takes **1 to 2 working days**. [1] Abroad takes longer. [2]";

let browser: Browser;
let folder: string;
let gateway: ScriptedGateway;
let url: string;
const pages = new Pages();

const visit = (options?: Parameters<typeof pages.open>[2]): Promise<Page> =>
  pages.open(browser, url, options);

const shows = (page: Page, text: string): Promise<void> => page.getByText(text).first().waitFor();
const hides = (page: Page, text: string): Promise<void> =>
  page.getByText(text).first().waitFor({ state: "detached" });

describe.skipIf(!chromiumPath)(`the chat page against a scripted gateway${withoutChromium}`, () => {
  beforeAll(async () => {
    folder = await ensureUi({ log: () => {} });
    browser = await launch();
  });
  afterAll(() => browser?.close());

  beforeEach(async () => {
    gateway = new ScriptedGateway(folder);
    url = await gateway.listen();
  });
  afterEach(async () => {
    await pages.close();
    await gateway.close();
  });

  test("an answer grows word by word, ends with its sources, and a source opens and closes by keyboard", async () => {
    const page = await visit();
    await page.getByRole("button", { name: "How long does delivery take?" }).click();
    const turn = await gateway.nextTurn();
    turn.delta("Delivery takes ");
    await shows(page, "Delivery takes");
    turn.delta("**1 to 2");
    await page.locator("strong", { hasText: "1 to 2" }).waitFor();
    turn.done(REPLY, { citations: [QUOTED, NAMED], cached: true });
    const chip = page.locator(".prose").getByRole("button", { name: "Source 1: Delivery times and costs" });
    await shows(page, "from cache");
    await chip.focus();
    await page.keyboard.press("Enter");
    const panel = page.getByRole("region", { name: "Source 1: Delivery times and costs" });
    await panel.getByText(PASSAGE).waitFor();
    await panel.getByText("Revision 12").waitFor();
    expect(await panel.getByRole("link", { name: "Open page" }).getAttribute("href")).toBe(QUOTED.url);
    await assertAccessible(page);
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
    const focused = await page.evaluate<string>(
      "document.activeElement.className + document.activeElement.textContent",
    );
    expect(focused).toBe("chip1");
    expect(gateway.received[0]).toMatchObject({ text: "How long does delivery take?", locale: "en-GB" });
  });

  test("a source without a passage shows its document, and says when that has changed since", async () => {
    gateway.documents.set("shop/abroad-en", {
      title: "Delivery abroad",
      revision: 15,
      text: "# Delivery abroad\n\nTo Belgium in 2 to 3 days.",
    });
    const page = await visit();
    await ask(page, "And abroad?");
    (await gateway.nextTurn()).done(REPLY, { citations: [QUOTED, NAMED] });
    await page.locator(".source").nth(1).click();
    await shows(page, "To Belgium in 2 to 3 days.");
    await shows(page, "The document has changed since this answer.");
  });

  test("a restart in mid-answer replaces what was shown", async () => {
    const page = await visit();
    await ask(page, "How long?");
    const turn = await gateway.nextTurn();
    turn.delta("Seventeen weeks");
    await shows(page, "Seventeen weeks");
    turn.restart();
    await hides(page, "Seventeen weeks");
    await page.locator(".note-restart").waitFor();
    turn.delta("One day");
    await shows(page, "One day");
    turn.done("One day.");
    await page.locator(".note-restart").waitFor({ state: "detached" });
    await page.locator(".prose", { hasText: /^One day\.$/ }).waitFor();
  });

  test("a lost connection is said quietly, and the answer goes on where it was", async () => {
    const page = await visit();
    await ask(page, "How long?");
    const turn = await gateway.nextTurn();
    turn.delta("One ");
    await shows(page, "One");
    gateway.isCut = true;
    gateway.dropStreams();
    await page.locator(".connection", { hasText: "Reconnecting…" }).waitFor();
    turn.delta("working ");
    gateway.isCut = false;
    await page.locator(".connection").waitFor({ state: "detached" });
    await shows(page, "One working");
    expect(gateway.resumes.at(-1)).toBe("1.1.1");
    turn.delta("day");
    turn.done("One working day.");
    await shows(page, "One working day.");
  });

  test("a turn that ended while the page was away comes by the transcript", async () => {
    const page = await visit();
    await ask(page, "How long?");
    const turn = await gateway.nextTurn();
    turn.delta("One ");
    gateway.isCut = true;
    gateway.dropStreams();
    await page.locator(".connection").waitFor();
    turn.done("One working day. [1]", { citations: [QUOTED] });
    gateway.isCut = false;
    await page.locator(".prose .chip").waitFor();
  });

  test("a reload in mid-answer keeps the question and goes on streaming; a new conversation is empty", async () => {
    const page = await visit();
    await ask(page, "How long?");
    const turn = await gateway.nextTurn();
    turn.delta("One ");
    await shows(page, "One");
    await page.reload();
    await shows(page, "How long?");
    await shows(page, "One");
    turn.delta("day");
    await shows(page, "One day");
    turn.done("One day.");
    await shows(page, "One day.");
    await page.getByRole("button", { name: "New conversation" }).click();
    await shows(page, "How can we help?");
    expect(await page.getByText("One day.").count()).toBe(0);
  });

  test("a send that was lost keeps its text and is repeated under the same id", async () => {
    const page = await visit();
    gateway.refusals.push({ status: 500 }, { status: 202, lost: true });
    await ask(page, "How long?");
    await shows(page, "Not sent: something went wrong on our side.");
    await assertAccessible(page);
    await page.getByRole("button", { name: "Try again" }).click();
    // The second send arrives and only its acknowledgement is lost: the stream shows that the turn has it.
    const turn = await gateway.nextTurn();
    turn.done("One day.");
    await shows(page, "One day.");
    expect(await page.getByText("How long?").count()).toBe(1);
    expect(new Set(gateway.received.map(({ id }) => id)).size).toBe(1);
    expect(await page.getByRole("button", { name: "Try again" }).count()).toBe(0);
  });

  test("a busy gateway makes the page wait, say so, and send again by itself", async () => {
    const page = await visit();
    gateway.refusals.push({ status: 429, retryAfterSeconds: 1 });
    await ask(page, "How long?");
    await page.getByText(/^Busy right now\. Sending again in \d s$/).waitFor();
    (await gateway.nextTurn()).done("One day.");
    await shows(page, "One day.");
    expect(gateway.received).toHaveLength(2);
  });

  test("a refused key is asked for, kept for the tab, and a wrong one is called wrong", async () => {
    gateway.key = "secret";
    const page = await visit(PHONE);
    const field = page.getByLabel("API key");
    await field.waitFor();
    await assertAccessible(page);
    await assertFitsWidth(page);
    await field.fill("wrong");
    await field.press("Enter");
    await shows(page, "This key was not accepted.");
    await page.getByLabel("API key").fill("secret");
    await page.getByRole("button", { name: "Continue" }).click();
    await shows(page, "How can we help?");
    await page.reload();
    await shows(page, "How can we help?");
  });

  test("Escape and the button stop an answer; thumbs are given once", async () => {
    const page = await visit();
    await ask(page, "How long?");
    const turn = await gateway.nextTurn();
    turn.delta("One ");
    await shows(page, "One");
    await page.keyboard.press("Escape");
    await expect.poll(() => gateway.stops.length, SOON).toBe(1);
    turn.done("One ", { outcome: "stopped" });
    await page.locator(".note", { hasText: "Stopped" }).waitFor();
    await ask(page, "Again?");
    const again = await gateway.nextTurn();
    await page.getByRole("button", { name: "Stop answering" }).click();
    await expect.poll(() => gateway.stops.length, SOON).toBe(2);
    again.done("One day.");
    await page.getByRole("button", { name: "Good answer" }).click();
    await page.getByRole("button", { name: "Good answer", pressed: true }).click();
    expect(gateway.feedback).toEqual([{ turn: "2", value: "up" }]);
  });

  test("what a model writes is text: no element, no script, no foreign link comes of it", async () => {
    const page = await visit();
    await ask(page, "Hello");
    const hostile = `<img src=x onerror="window.hit=1"><script>window.hit=1</script> [a](javascript:window.hit=1) [9] **ok**`;
    (await gateway.nextTurn()).done(hostile, {
      citations: [{ ...NAMED, title: "<b>bold</b>", url: "javascript:window.hit=1" }],
    });
    await page.locator("strong", { hasText: "ok" }).waitFor();
    await page.locator(".source").click();
    expect(await page.locator(".answer img, .answer script, .answer b, .answer a").count()).toBe(0);
    expect(await page.evaluate("window.hit")).toBeUndefined();
    await shows(page, "[9]");
  });

  test("the log follows the answer until one scrolls up, and a button leads back", async () => {
    const page = await visit();
    await ask(page, "Tell me everything");
    const turn = await gateway.nextTurn();
    for (let line = 1; line <= 60; line++) turn.delta(`Line ${line}.\n\n`);
    const rest =
      "((e) => e.scrollHeight - e.clientHeight - e.scrollTop)(document.querySelector('.scroller'))";
    await shows(page, "Line 60.");
    await expect.poll(() => page.evaluate<number>(rest), SOON).toBeLessThan(4);
    await page.mouse.move(640, 400);
    await page.mouse.wheel(0, -600);
    const jump = page.getByRole("button", { name: "Jump to latest" });
    await jump.waitFor();
    for (let line = 61; line <= 70; line++) turn.delta(`Line ${line}.\n\n`);
    await page.getByText("Line 70.").waitFor({ state: "attached" });
    expect(await page.evaluate<number>(rest)).toBeGreaterThan(400);
    await jump.click();
    await jump.waitFor({ state: "detached" });
    await expect.poll(() => page.evaluate<number>(rest), SOON).toBeLessThan(4);
    turn.done("Done.");
  });

  test.each([
    ["desktop", "light", DESKTOP],
    ["desktop", "dark", DESKTOP],
    ["phone", "light", PHONE],
    ["phone", "dark", PHONE],
  ] as const)(
    "on a %s in %s nothing overflows and axe finds nothing, in any state",
    async (_size, colorScheme, size) => {
      const page = await visit({ ...size, colorScheme });
      await shows(page, "How can we help?");
      await assertAccessible(page);
      await assertFitsWidth(page);
      await ask(page, `A${"very".repeat(60)}longword`);
      const turn = await gateway.nextTurn();
      turn.delta("Look at [1] and `code` ");
      await page.locator(".chip-pending").waitFor();
      await assertAccessible(page);
      turn.restart();
      turn.delta("Again");
      await page.locator(".note-restart").waitFor();
      await assertAccessible(page);
      turn.done(`${REPLY}\n\n\`\`\`\n${"wide ".repeat(60)}\n\`\`\`\n\n${"x".repeat(200)}`, {
        citations: [QUOTED, NAMED],
      });
      await page.locator(".source").first().click();
      await shows(page, PASSAGE);
      await assertAccessible(page);
      gateway.refusals.push({ status: 413 });
      await ask(page, "Too long");
      await page.getByRole("button", { name: "Edit" }).waitFor();
      gateway.isCut = true;
      gateway.dropStreams();
      await page.locator(".connection").waitFor();
      await assertAccessible(page);
      await assertFitsWidth(page);
    },
  );

  test("Enter that an input method has chooses a word, and sends nothing", async () => {
    const page = await visit();
    const field = page.getByRole("textbox");
    await field.fill("nihon");
    for (const taken of ["isComposing: true", "keyCode: 229"]) {
      const isLeftAlone = await page.evaluate<boolean>(`document.querySelector("textarea").dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ${taken} }))`);
      expect(isLeftAlone).toBe(true);
    }
    expect(await field.inputValue()).toBe("nihon");
    await field.press("Enter");
    await (await gateway.nextTurn()).done("Done.");
    expect(await field.inputValue()).toBe("");
  });

  test("Dutch browsers get Dutch, and a chosen theme is remembered", async () => {
    const page = await visit({ ...DESKTOP, locale: "nl-BE", colorScheme: "light" });
    await page.getByRole("button", { name: "Hoe lang duurt de levering?" }).waitFor();
    await page.getByRole("button", { name: "Donkere kleuren" }).click();
    const ground = "getComputedStyle(document.body).backgroundColor";
    const dark = await page.evaluate<string>(ground);
    expect(dark).toBe("rgb(16, 21, 19)");
    await page.reload();
    await page.getByRole("button", { name: "Lichte kleuren" }).waitFor();
    expect(await page.evaluate<string>(ground)).toBe(dark);
    expect(await page.evaluate<string>("document.documentElement.lang")).toBe("nl");
  });
});
