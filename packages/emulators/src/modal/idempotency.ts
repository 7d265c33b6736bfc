/** Answers a repeated call with what the first one gave. Knows nothing of the calls. */

const keptAnswers = 1000;

export interface Idempotency {
  /** Without a key every call is run. A call that failed is run anew. */
  once<T extends object>(key: string | undefined, run: () => Promise<T>): Promise<T | object>;
}

export function createIdempotency(): Idempotency {
  const answers = new Map<string, Promise<object>>();
  return {
    once: (key, run) => {
      if (key === undefined) return run();
      const earlier = answers.get(key);
      if (earlier) return earlier;
      const answer = run();
      answers.set(key, answer);
      answer.catch(() => answers.delete(key));
      const oldest = answers.keys().next().value;
      if (answers.size > keptAnswers && oldest !== undefined) answers.delete(oldest);
      return answer;
    },
  };
}
