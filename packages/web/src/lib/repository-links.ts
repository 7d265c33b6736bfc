/** Addresses of a repository's commits on its forge, from its clone URL. Pure; knows GitHub's paths and nothing else of it. */

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
