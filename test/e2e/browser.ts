/** The system's Chromium for tests of the pages, and what every page is held to. */
import { existsSync } from "node:fs";
import { AxeBuilder } from "@axe-core/playwright";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "@playwright/test";
import { expect } from "vitest";

const CANDIDATES = [
  process.env.CHROMIUM_BIN,
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
  "/usr/bin/chromium-browser",
];
const ARGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

export const chromiumPath = CANDIDATES.find(
  (path): path is string => path !== undefined && path !== "" && existsSync(path),
);
/** Stands in the name of what is skipped, so that the report says why. */
export const withoutChromium = chromiumPath ? "" : " (skipped: no Chromium found; name one by CHROMIUM_BIN)";

export const DESKTOP = { viewport: { width: 1280, height: 800 } } as const satisfies BrowserContextOptions;
export const PHONE = {
  viewport: { width: 390, height: 844 },
  isMobile: true,
  hasTouch: true,
  deviceScaleFactor: 2,
} as const satisfies BrowserContextOptions;

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath ?? "chromium", args: ARGS });
}

/** Long enough for a turn on a machine that does other things too; waits end as soon as they are met. */
export const SOON = { timeout: 60_000 };

/** The pages that a test opens. None may complain: errors and refused policies fail it when they are closed. */
export class Pages {
  readonly #open: QuietPage[] = [];

  async open(browser: Browser, url: string, options: BrowserContextOptions = DESKTOP): Promise<Page> {
    const quiet = await openPage(browser, url, options);
    this.#open.push(quiet);
    return quiet.page;
  }

  async close(): Promise<void> {
    for (const { page, assertQuiet } of this.#open.splice(0)) {
      await page.context().close();
      assertQuiet();
    }
  }
}

export async function ask(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox").fill(text);
  await page.getByRole("textbox").press("Enter");
}

async function openPage(browser: Browser, url: string, options: BrowserContextOptions): Promise<QuietPage> {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(SOON.timeout);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A refused request is part of some tests; everything else the console calls an error is not.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  await page.goto(url);
  return { page, assertQuiet: () => expect(complaints).toEqual([]) };
}

interface QuietPage {
  readonly page: Page;
  readonly assertQuiet: () => void;
}

export async function assertAccessible(page: Page): Promise<void> {
  // Colours in the middle of a fade are not the page's colours. (Browser code as text: Node's types know no DOM.)
  await page.evaluate(
    "Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations === 1).map((a) => a.finished))",
  );
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)).toEqual(
    [],
  );
}

export async function assertFitsWidth(page: Page): Promise<void> {
  const beyond = await page.evaluate<string[]>(`
    [...document.querySelectorAll("body *")]
      .filter((e) => !e.parentElement.closest("pre") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
      .map((e) => e.className || e.tagName)`);
  expect(beyond).toEqual([]);
}
