/** What jsdom lacks of a browser and the pages use; and a clean page after each test. */
import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

globalThis.matchMedia = (media) =>
  Object.assign(new EventTarget(), { media, matches: false, onchange: null, addListener() {}, removeListener() {} });
globalThis.scrollTo = () => {};
globalThis.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};

afterEach(() => {
  cleanup();
  localStorage.clear();
});
