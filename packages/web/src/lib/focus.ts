/** Where the focus goes when what had it is gone: never to the top of the document. */

/** When the change that is under way has been drawn. @param find where it belongs; the page's content where that is not there */
export function focusNext(find: () => HTMLElement | null | undefined): void {
  // The first drawing may be the one before: what an answer from the server changes is not drawn at once.
  requestAnimationFrame(() =>
    requestAnimationFrame(() => (find() ?? document.getElementById("content"))?.focus({ preventScroll: true })),
  );
}
