/** A bounded memory of things by id, the least recently used dropped first. Knows nothing of what it keeps. */

export interface Handles<T> {
  get(id: string): T | undefined;
  set(id: string, handle: T): void;
  delete(id: string): void;
  clear(): void;
}

/** @param release is called with each thing that is dropped, replaced or deleted */
export function createHandles<T>(capacity: number, release: (handle: T) => void = () => {}): Handles<T> {
  const kept = new Map<string, T>();
  function drop(id: string): void {
    const handle = kept.get(id);
    if (handle === undefined) return;
    kept.delete(id);
    release(handle);
  }
  return {
    get(id) {
      const handle = kept.get(id);
      if (handle === undefined) return undefined;
      kept.delete(id);
      kept.set(id, handle);
      return handle;
    },
    set(id, handle) {
      if (kept.get(id) !== handle) drop(id);
      kept.set(id, handle);
      for (const oldest of kept.keys()) {
        if (kept.size <= capacity) break;
        drop(oldest);
      }
    },
    delete: drop,
    clear() {
      for (const id of [...kept.keys()]) drop(id);
    },
  };
}
