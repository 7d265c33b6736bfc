/** Debian's (or any installed) Chromium, driven by Playwright, kept away from every host but loopback. */
import { type Browser, chromium } from "playwright-core";
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
      // Without a graphics card every frame of a spinner is painted by the processor.
      "--force-prefers-reduced-motion",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ],
  });
}
