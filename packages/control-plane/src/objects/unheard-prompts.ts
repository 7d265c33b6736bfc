/** Prompts that were ended here, and of whose end their sandbox has not told: it may not know, and is told again when it greets. */
export interface UnheardPrompts {
  of(attempt: string): string[];
  add(attempt: string, promptId: string): void;
  /** The sandbox has told of its end. */
  heard(attempt: string, promptId: string): void;
}

interface Unheard {
  attempt: string;
  promptIds: string[];
}

const key = "conversation:unheard";
/** the oldest of more are forgotten */
const unheardMax = 20;

export function createUnheardPrompts(kv: DurableObjectStorage["kv"]): UnheardPrompts {
  const of = (attempt: string): string[] => {
    const known = kv.get<Unheard>(key);
    return known?.attempt === attempt ? known.promptIds : [];
  };
  const put = (attempt: string, promptIds: string[]): void => {
    if (promptIds.length === 0) kv.delete(key);
    else kv.put<Unheard>(key, { attempt, promptIds: promptIds.slice(-unheardMax) });
  };
  return {
    of,
    add: (attempt, promptId) => put(attempt, [...of(attempt), promptId]),
    heard(attempt, promptId) {
      const promptIds = of(attempt);
      if (!promptIds.includes(promptId)) return;
      put(
        attempt,
        promptIds.filter((id) => id !== promptId),
      );
    },
  };
}
