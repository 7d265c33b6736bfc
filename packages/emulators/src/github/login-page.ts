/** What people see of the login: the authorization's page, what went wrong, and avatars. Pure: HTML and SVG as text, no script. */
import { createHash } from "node:crypto";
import { escapeHtml } from "./pages.ts";
import { type Person } from "./people.ts";

const style = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --ground: #f6f8fa; --card: #fff; --line: #d1d9e0; --mark: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f6fc; --soft: #9198a1; --ground: #010409; --card: #0d1117; --line: #3d444d; --mark: #4493f8; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 0 auto; padding: 1.5rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
h1 { margin: 0 0 .5rem; font-size: 1.25rem; }
p { margin: 0 0 1rem; color: var(--soft); overflow-wrap: anywhere; }
button { display: flex; align-items: center; gap: .75rem; width: 100%; min-height: 48px; margin-top: .5rem; padding: .5rem .75rem;
  border: 1px solid var(--line); border-radius: 6px; background: var(--ground); color: var(--ink); font: inherit; text-align: left; cursor: pointer; }
button:hover { border-color: var(--mark); }
button:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
button small { display: block; color: var(--soft); }
button img { width: 32px; height: 32px; border-radius: 50%; }
.cancel { justify-content: center; margin-top: 1rem; background: none; }
`;
const styleHash = createHash("sha256").update(style).digest("base64");

export interface Page {
  body: string;
  headers: Record<string, string>;
}

/** @param leadsTo origins that the page's form may end at */
function page(title: string, content: string, leadsTo: string[]): Page {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${styleHash}'`,
    "img-src 'self' data:",
    `form-action ${["'self'", ...leadsTo].join(" ")}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${content}
</main>
</body>
</html>
`;
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy.join("; "),
    "x-content-type-options": "nosniff",
    // The form's Origin header is how a page of somebody else is told apart.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
  };
  return { body, headers };
}

/**
 * One button for each person. @param action the page's own address, query and all. @param suggested login that the app asks for
 */
export function authorizePage(asked: {
  appName: string;
  people: readonly Person[];
  action: string;
  callback: string;
  suggested: string | undefined;
}): Page {
  const { appName, people, suggested } = asked;
  const wanted = people.findIndex(({ account }) => account.login.toLowerCase() === suggested?.toLowerCase());
  const button = ({ account, name }: Person, index: number) => {
    const login = escapeHtml(account.login);
    const focus = index === Math.max(0, wanted) ? " autofocus" : "";
    const [label, more] = [`as-${account.id}`, `name-${account.id}`];
    const full = `<small id="${more}">${escapeHtml(name ?? "")}</small>`;
    const face = `<img src="/avatars/${account.id}" alt="">`;
    const said = `<span><span id="${label}">Continue as ${login}</span>${full}</span>`;
    const named = `aria-labelledby="${label}" aria-describedby="${more}"`;
    return `<button name="person" value="${login}" ${named}${focus}>${face}${said}</button>`;
  };
  const { origin } = new URL(asked.callback);
  const content = `<p>This app wants to act for you on this emulated GitHub. It then leads to ${escapeHtml(origin)}.</p>
<form method="post" action="${escapeHtml(asked.action)}">
${people.map(button).join("\n")}
<button class="cancel" name="cancel" value="1">Cancel</button>
</form>`;
  return page(`Authorize ${appName}`, content, [origin]);
}

export const messagePage = (title: string, text: string): Page => page(title, `<p>${escapeHtml(text)}</p>`, []);

/** A letter on a colour that goes with the number. */
export function avatarSvg(id: number, login: string): string {
  const letter = escapeHtml((login[0] ?? "?").toUpperCase());
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">
<rect width="64" height="64" fill="hsl(${(id * 137) % 360} 45% 38%)"/>
<text x="32" y="33" fill="#fff" font-family="system-ui, sans-serif" font-size="32" text-anchor="middle" dominant-baseline="central">${letter}</text>
</svg>
`;
}
