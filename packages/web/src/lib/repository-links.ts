/** Addresses of a repository's commits and their authors on its forge, from its clone URL. Pure; knows GitHub's paths and nothing else of it. */

/** null where the clone URL is not one that a browser opens. */
function webAddress(cloneUrl: string): string | null {
  return /^https?:\/\//.test(cloneUrl) ? cloneUrl.replace(/\.git$/, "") : null;
}

/** The commit, or with another one before it what lies between them. */
export function changesAddress(cloneUrl: string, sha: string, fromSha: string | null = null): string | null {
  const address = webAddress(cloneUrl);
  if (address === null) return null;
  return fromSha === null || fromSha === sha ? `${address}/commit/${sha}` : `${address}/compare/${fromSha}...${sha}`;
}

/** A person's page there. */
export function personAddress(cloneUrl: string, login: string): string | null {
  const address = webAddress(cloneUrl);
  return address === null ? null : new URL(`/${encodeURIComponent(login)}`, address).href;
}
