/** Sentences for the page's one polite live region, so that a change of state is heard as well as seen. */

export interface Announcer {
  announce(sentence: string): void;
  subscribe(listener: (sentence: string) => void): () => void;
}

export function createAnnouncer(): Announcer {
  const listeners = new Set<(sentence: string) => void>();
  return {
    announce(sentence) {
      for (const listener of listeners) listener(sentence);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
