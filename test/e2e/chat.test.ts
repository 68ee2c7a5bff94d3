import type { Browser, Page } from "@playwright/test";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  ask,
  assertAccessible,
  assertFitsWidth,
  chromiumPath,
  DESKTOP,
  launch,
  Pages,
  PHONE,
  withoutChromium,
} from "./browser.ts";
import { type Product, startProduct } from "./product.ts";

const QUESTION = "How long does delivery take?";
const FACT = /1 to 2 working days/;

let product: Product;
let browser: Browser;
const pages = new Pages();

const visit = (options?: Parameters<typeof pages.open>[2]): Promise<Page> =>
  pages.open(browser, product.url, options);

/** The answer that is complete: it has thumbs. */
const answered = (page: Page) => page.locator('.answer[data-running="false"]').last();

describe.skipIf(!chromiumPath)(`the chat page of the product${withoutChromium}`, () => {
  beforeAll(async () => {
    [product, browser] = await Promise.all([startProduct(), launch()]);
  });
  afterAll(async () => {
    await browser?.close();
    await product?.stop();
  });
  afterEach(() => pages.close());

  test("serves the page under a policy that allows nothing inline and nothing foreign", async () => {
    const response = await fetch(product.url);
    expect(response.status).toBe(200);
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toMatch(/unsafe-inline|unsafe-eval/);
  });

  test("a question is answered from the help pages, and the passage it rests on can be opened", async () => {
    const page = await visit();
    await page.getByRole("button", { name: QUESTION }).click();
    await answered(page).getByText(FACT).first().waitFor();
    await answered(page).locator(".source").first().click();
    const panel = page.locator(".passage");
    await panel.getByText(FACT).first().waitFor();
    expect(await panel.getByText(/^Revision \d+$/).count()).toBe(1);
    expect(await panel.getByRole("link", { name: "Open page" }).getAttribute("href")).toContain(
      "https://shop.example/",
    );
    await assertAccessible(page);
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
    await answered(page).getByRole("button", { name: "Good answer" }).click();
    await page.reload();
    await page.locator(".mine", { hasText: QUESTION }).waitFor();
    await answered(page).getByText(FACT).first().waitFor();
    await answered(page).locator(".source").first().waitFor();
  });

  test("a second question belongs to the same conversation; a new one begins empty", async () => {
    const page = await visit();
    await ask(page, QUESTION);
    await answered(page).getByText(FACT).first().waitFor();
    await ask(page, "How much does delivery cost?");
    await answered(page)
      .getByText(/€4\.95/)
      .first()
      .waitFor();
    expect(await page.locator(".turn").count()).toBe(2);
    await page.getByRole("button", { name: "New conversation" }).click();
    await page.getByRole("heading", { name: "How can we help?" }).waitFor();
  });

  test("a Dutch question gets a Dutch answer", async () => {
    const page = await visit({ ...DESKTOP, locale: "nl-NL" });
    await page.getByRole("button", { name: "Hoe lang duurt de levering?" }).click();
    await answered(page)
      .getByText(/werkdagen/)
      .first()
      .waitFor();
  });

  test.each([
    ["desktop", "light", DESKTOP],
    ["desktop", "dark", DESKTOP],
    ["phone", "light", PHONE],
    ["phone", "dark", PHONE],
  ] as const)(
    "on a %s in %s axe finds nothing and nothing is wider than the screen",
    async (_size, colorScheme, size) => {
      const page = await visit({ ...size, colorScheme });
      await page.getByRole("heading", { name: "How can we help?" }).waitFor();
      await assertAccessible(page);
      await assertFitsWidth(page);
      await ask(page, QUESTION);
      await answered(page).getByText(FACT).first().waitFor();
      await assertAccessible(page);
      await assertFitsWidth(page);
    },
  );
});
