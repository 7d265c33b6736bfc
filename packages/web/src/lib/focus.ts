/** Where the focus goes when what had it is gone: never to the top of the document. */

/** After the next drawing. @param find where it belongs; the page's content where that is not there */
export function focusNext(find: () => HTMLElement | null | undefined): void {
  requestAnimationFrame(() => (find() ?? document.getElementById("content"))?.focus({ preventScroll: true }));
}
