/**
 * Plain pages for a commit, a comparison and a pull request: where the links that GitHub's addresses make lead to. Git's own output, escaped. Anonymous,
 * so that private repositories do not exist here.
 */
import { type IncomingMessage, type ServerResponse } from "node:http";
import { resolveCommit } from "./commits.ts";
import { accountOf } from "./pull-event.ts";
import { type Pulls } from "./pulls.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { fullName } from "./rest/shapes.ts";

const shownMaxBytes = 1024 * 1024;

interface PageRequest {
  owner: string;
  name: string;
  /** one commit, the two that are compared, or the number of a pull request */
  names: [string] | [string, string] | { pull: number };
  rest: string;
}

/** Reads a request for a page out of its URL; null when it is none. */
export function parsePageRequest(method: string, url: URL): PageRequest | null {
  const [, owner, name, kind, ...rest] = url.pathname.split("/");
  if (method !== "GET" || !owner || !name || owner === "repos" || rest.length === 0) return null;
  const asked = decode(rest.join("/"));
  const at = { owner, name, rest: `${kind ?? ""}/${rest.join("/")}` };
  if (kind === "commit") return { ...at, names: [asked] };
  if (kind === "pull" && /^\d{1,9}$/.test(asked)) return { ...at, names: { pull: Number(asked) } };
  if (kind !== "compare") return null;
  const [base, head, ...more] = asked.split("...");
  return base && head && more.length === 0 ? { ...at, names: [base, head] } : null;
}

export function createPages(ports: ApiPorts & { pulls: Pulls }) {
  const { git, repositories } = ports;
  return async function serve(_req: IncomingMessage, res: ServerResponse, asked: PageRequest): Promise<void> {
    const here = repositories.find(asked.owner, asked.name);
    const repository = here ?? repositories.findMoved(asked.owner, asked.name);
    if (repository === null || ports.access.mayRead({ kind: "anonymous" }, repository, "contents") !== "yes") {
      return answer(res, 404, "Not found", "There is no such page.");
    }
    if (here === null) {
      res.writeHead(301, { location: `${ports.url()}/${fullName(repository)}/${asked.rest}` }).end();
      return;
    }
    const gitDir = repositories.gitDir(repository);
    const refs = await repositories.refs(repository);
    const shas: string[] = [];
    const pull = "pull" in asked.names ? ports.pulls.find(repository, asked.names.pull) : null;
    if ("pull" in asked.names && pull === null) return answer(res, 404, "Not found", "There is no such pull request.");
    for (const name of "pull" in asked.names ? [pull?.baseSha ?? "", pull?.headSha ?? ""] : asked.names) {
      const sha = await resolveCommit(git, gitDir, refs, name);
      if (sha === null) return answer(res, 404, "Not found", `${fullName(repository)} has no commit ${name}.`);
      shas.push(sha);
    }
    const [first = "", second] = shas;
    const plain = ["--no-color", "--no-ext-diff", "--no-textconv", "--stat", "--patch"];
    const command = second === undefined ? ["show", ...plain, first] : ["diff", ...plain, `${first}...${second}`];
    const { code, stdout, stderr } = await git.run([`--git-dir=${gitDir}`, ...command]);
    const title = pull
      ? `${fullName(repository)} #${pull.number}: ${pull.title}`
      : `${fullName(repository)} ${shas.map((sha) => sha.slice(0, 7)).join("...")}`;
    const said = pull
      ? `${pull.mergedAt === null ? pull.state : "merged"}: ${pull.head} into ${pull.base}\nopened by ${accountOf(ports, pull).login}\n\n${pull.body ?? ""}\n\n`
      : "";
    if (code !== 0) return answer(res, 404, title, stderr);
    const cut = stdout.byteLength > shownMaxBytes ? "\n(the rest is not shown)\n" : "";
    answer(res, 200, title, said + stdout.subarray(0, shownMaxBytes).toString("utf8") + cut);
  };
}

function answer(res: ServerResponse, status: number, title: string, text: string): void {
  const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<h1>${escapeHtml(title)}</h1><pre>${escapeHtml(text)}</pre></html>
`;
  res.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
  });
  res.end(page);
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => entities[character] ?? "");

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
