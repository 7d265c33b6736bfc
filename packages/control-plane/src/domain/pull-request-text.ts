/** What a pull request is called and what it says, made of the session it comes from. Pure text. */
import { branchSchema, type Person, type PullRequest, type PullRequestRequest } from "@open-inspect/protocol";
import { type PullOrder } from "./pull-request.ts";

/** What of a session its pull request tells. */
export interface PullSubject {
  sessionId: string;
  title: string;
  /** the session's page */
  url: string;
  /** what the session began from; the pull request is to be merged into it */
  base: string;
  /** the repository's default branch, null when it is not known */
  defaultBranch: string | null;
  /** oldest first */
  prompts: readonly { text: string; author: Person | null }[];
  current: PullRequest | null;
  opened: number;
}

export type PullOrdered =
  | { order: PullOrder }
  | { refused: { code: "invalid_request" | "conflict"; message: string; hint: string } };

const slugMax = 40;
const titleMax = 250;
const promptsMax = 20;
const lineMax = 200;

/** @param person whoever asks; commits carry the name of whoever prompted last */
export function orderPull(subject: PullSubject, request: PullRequestRequest, person: Person, pushId: string): PullOrdered {
  const isOpen = subject.current?.state === "open" || subject.current?.state === "draft";
  const own = isOpen && subject.current ? subject.current.branch : null;
  if (own !== null && request.branch !== undefined && request.branch !== own) {
    const message = `The session's pull request #${subject.current?.number} is of the branch ${own}.`;
    return { refused: { code: "conflict", message, hint: "Leave the branch out, or merge or close the pull request first." } };
  }
  const branch = own ?? request.branch ?? defaultBranchName(subject);
  if (branch === subject.base || branch === subject.defaultBranch) {
    const message = `${branch} is the branch that the work is to be merged into.`;
    return { refused: { code: "invalid_request", message, hint: "Name another branch, or none." } };
  }
  const title = oneLine(request.title ?? withoutCredential(subject.title), titleMax) || "Changes";
  const body = [request.body ?? listPrompts(subject.prompts), signature(subject, person)].join("\n\n");
  return {
    order: {
      ...{ pushId, branch, base: subject.base, title, body, draft: request.draft ?? false },
      commit: { message: `${title}\n\n${subject.url}`, author: subject.prompts.at(-1)?.author ?? person },
      changes: {
        ...(request.title === undefined ? {} : { title }),
        ...(request.body === undefined ? {} : { body }),
      },
    },
  };
}

/** `openinspect/<slug>-<short id>`, with a number from the second pull request on: the first one's branch is its history. */
export function defaultBranchName({ title, sessionId, opened }: Pick<PullSubject, "title" | "sessionId" | "opened">): string {
  const slug = withoutCredential(title)
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, slugMax)
    .replace(/^-+|-+$/g, "");
  const name = `openinspect/${slug || "session"}-${sessionId.slice(-6)}${opened > 0 ? `-${opened + 1}` : ""}`;
  return branchSchema.parse(name);
}

function listPrompts(prompts: PullSubject["prompts"]): string {
  const lines = prompts.slice(0, promptsMax).map(({ text }) => `- ${asCode(firstLine(text))}`);
  const more = prompts.length - lines.length;
  if (more > 0) lines.push(`- and ${more} more`);
  return lines.length === 0 ? "Made in a session of Open-Inspect." : ["What was asked:", "", ...lines].join("\n");
}

function signature({ title, url }: PullSubject, { name, login }: Person): string {
  const who = login === null ? asCode(oneLine(name, lineMax)) : `@${login}`;
  return `---\nRequested by ${who} in the session [${asText(oneLine(withoutCredential(title), lineMax)) || "of Open-Inspect"}](${url}).`;
}

/** What people paste by mistake; a pull request may be public. */
const credentialPattern =
  /\b(?:gh[pousr]_|github_pat_|glpat-|sk-|xox[abeprs]-|AKIA|AIza|eyJ)[\w-]{10,}|-----BEGIN|\b(?:password|passwd|secret|token|api[_-]?key)\s*[:=]\s*\S/i;

const withoutCredential = (title: string): string => (credentialPattern.test(title) ? "" : title);

function firstLine(text: string): string {
  if (credentialPattern.test(text.slice(0, 2_000))) return "(left out: it looks like it holds a credential)";
  const line = text.trim().split("\n", 1)[0] ?? "";
  return oneLine(line, lineMax);
}

function oneLine(text: string, max: number): string {
  const line = text.replace(/[\s\u0000-\u001f\u007f]+/g, " ").trim();
  return line.length > max ? `${line.slice(0, max - 1)}…` : line;
}

/** In a code span nobody is mentioned, no issue is closed and nothing is markup. */
function asCode(line: string): string {
  const longest = Math.max(0, ...[...line.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return longest === 0 ? `${fence}${line || " "}${fence}` : `${fence} ${line} ${fence}`;
}

const asText = (line: string): string => line.replace(/[\\`*_[\]<>#@!|~&]/g, "");
