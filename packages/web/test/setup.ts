/** What jsdom lacks of a browser and the pages use; errors that cost nothing while a test waits; and a clean page after each test. */
import { cleanup, configure, getConfig } from "@testing-library/react";
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

// Whoever waits for something asks again and again, and each time that it is not there its error would print the whole page. Only the
// last one is read, and Testing Library adds the page to that one itself.
const isPolling = (): boolean => Reflect.get(getConfig(), "_disableExpensiveErrorDiagnostics") === true;
configure(({ getElementError }) => ({
  getElementError: (message, container) =>
    isPolling()
      ? Object.assign(new Error(message ?? ""), { name: "TestingLibraryElementError" })
      : getElementError(message, container),
}));

afterEach(() => {
  cleanup();
  localStorage.clear();
  delete document.documentElement.dataset.narrow;
});
