/**
 * Lets the test pool find the Worker's main module without asking again. It imports that module for every request, every call of an object and
 * every message of a socket, and Vitest asks Node each time where the file lies: a round trip through Vite's resolver that takes longer
 * than most calls. Knows nothing of the Worker. If Vitest is built otherwise one day, tests are slower and as right as before.
 */

type ResolveId = (id: string, importer?: string) => Promise<unknown>;

declare global {
  var __vitest_mocker__: { moduleRunner?: { vitestOptions?: { transport?: { resolveId?: ResolveId } } } } | undefined;
}

/** Answers for whole paths hold as long as the process; what is imported by a module is asked as ever. */
export function rememberResolvedPaths(): void {
  const transport = globalThis.__vitest_mocker__?.moduleRunner?.vitestOptions?.transport;
  const ask = transport?.resolveId;
  if (!transport || !ask) return;
  const known = new Map<string, Promise<unknown>>();
  transport.resolveId = (id, importer) => {
    if (importer !== undefined || !id.startsWith("/")) return ask(id, importer);
    const answer = known.get(id) ?? ask(id);
    known.set(id, answer);
    return answer;
  };
}
