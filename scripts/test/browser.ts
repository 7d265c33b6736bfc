/** Debian's (or any installed) Chromium, driven by Playwright, kept away from every host but loopback. */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { findProgram } from "../prerequisites.ts";

export function launchBrowser(): Promise<Browser> {
  const executablePath = ["chromium", "chromium-browser", "google-chrome"]
    .map((name) => findProgram(name))
    .find((path) => path !== null);
  if (executablePath === undefined) throw new Error("no Chromium found: sudo apt-get install -y chromium");
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ],
  });
}

/**
 * A page with cookies and a cache of its own, and nothing that moves by itself: without a graphics card a spinner costs more than all
 * else that a page does. Closing its context ends it.
 */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  return (await browser.newContext({ reducedMotion: "reduce", ...options })).newPage();
}
