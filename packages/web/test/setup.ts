/** What jsdom lacks of a browser and the pages use; and a clean page after each test. */
import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

/** A wide window in light colours, unless a test says that it is a narrow one. */
globalThis.matchMedia = (media) =>
  Object.assign(new EventTarget(), {
    media,
    matches: media.includes("min-width") && document.documentElement.dataset.narrow === undefined,
    ...{ onchange: null, addListener() {}, removeListener() {} },
  });
globalThis.scrollTo = () => {};
Element.prototype.scrollTo = () => {};
globalThis.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};

afterEach(() => {
  cleanup();
  localStorage.clear();
  delete document.documentElement.dataset.narrow;
});
