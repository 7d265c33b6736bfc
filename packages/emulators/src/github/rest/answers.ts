/** What every REST route shares: GitHub's error bodies, paging with Link headers, and the ports that routes are given. */
import { type Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { type ContentfulStatusCode } from "hono/utils/http-status";
import { type Access, type Identity } from "../access.ts";
import { type AppTokens } from "../app-tokens.ts";
import { type Git } from "../git.ts";
import { readJson } from "../json-body.ts";
import { type People } from "../people.ts";
import { type Repositories, type Repository } from "../repositories.ts";
import { type UserTokens } from "../user-tokens.ts";

export interface ApiPorts {
  /** the emulator's own URL, without a trailing slash */
  url: () => string;
  app: { id: number; slug: string; name: string; clientId: string };
  personLogin: string;
  git: Git;
  repositories: Repositories;
  access: Access;
  tokens: AppTokens;
  people: People;
  userTokens: UserTokens;
  now: () => number;
  log: (line: string) => void;
}
export interface ApiEnv {
  Variables: { identity: Identity };
}
export type ApiContext = Context<ApiEnv>;

/** An error to throw, with the body that GitHub would send. */
export function apiError(status: ContentfulStatusCode, message: string, extra: object = {}): HTTPException {
  const body = { message, ...extra, documentation_url: "https://docs.github.com/rest", status: String(status) };
  const headers = { "content-type": "application/json; charset=utf-8" };
  return new HTTPException(status, { res: new Response(JSON.stringify(body), { status, headers }) });
}
export const notFound = (message = "Not Found") => apiError(404, message);
export const notAccessible = () => apiError(403, "Resource not accessible by integration");
export const emptyRepository = () => apiError(409, "Git Repository is empty.");

const bodyMaxBytes = 1024 * 1024;
/** The request's body, undefined when it is empty; throws GitHub's errors. */
export async function requestJson(c: ApiContext): Promise<unknown> {
  const body = await readJson(c, bodyMaxBytes);
  if ("json" in body) return body.json;
  throw body.refused === "too large" ? apiError(413, "Payload too large") : apiError(400, "Problems parsing JSON");
}

/** The repository in the path, when the asker may see it. */
export function requireRepository(ports: ApiPorts, c: ApiContext, what: "metadata" | "contents"): Repository {
  const { repository, isHere } = locate(ports, c);
  const decision = ports.access.mayRead(c.get("identity"), repository, what);
  if (decision === "hidden") throw notFound();
  if (decision === "denied") throw notAccessible();
  if (!isHere) throw movedTo(ports, c, repository);
  return repository;
}

/** The repository in the path, or the one that had this name. */
export function locate(ports: ApiPorts, c: ApiContext): { repository: Repository; isHere: boolean } {
  const [owner, name] = [c.req.param("owner") ?? "", c.req.param("repo") ?? ""];
  const here = ports.repositories.find(owner, name);
  const repository = here ?? ports.repositories.findMoved(owner, name);
  if (repository === null) throw notFound();
  return { repository, isHere: here !== null };
}

/** As on GitHub an old name leads to the repository by its number, whatever of it was asked for. */
export function movedTo(ports: ApiPorts, c: ApiContext, repository: Repository): HTTPException {
  const { pathname, search } = new URL(c.req.url);
  const rest = pathname.split("/").slice(4);
  const url = [`${ports.url()}/repositories/${repository.id}`, ...rest].join("/") + search;
  const error = apiError(301, "Moved Permanently", { url });
  const response = error.getResponse();
  response.headers.set("location", url);
  return new HTTPException(301, { res: response });
}

const positive = (text: string | undefined, fallback: number) => {
  const value = Number(text);
  return Number.isInteger(value) && value > 0 ? value : fallback;
};

/** `page` and `per_page` as asked for, within GitHub's bounds. */
export function pageOf(c: ApiContext, perPageDefault = 30): { page: number; perPage: number; skip: number } {
  const page = positive(c.req.query("page"), 1);
  const perPage = Math.min(100, positive(c.req.query("per_page"), perPageDefault));
  return { page, perPage, skip: (page - 1) * perPage };
}

/** Sets the Link header for a list of `total` entries. */
export function linkPages(ports: ApiPorts, c: ApiContext, total: number, perPageDefault = 30): void {
  const { page, perPage } = pageOf(c, perPageDefault);
  const last = Math.max(1, Math.ceil(total / perPage));
  const link = (to: number, rel: string) => {
    const url = new URL(c.req.url);
    url.searchParams.set("page", String(to));
    return `<${ports.url()}${url.pathname}${url.search}>; rel="${rel}"`;
  };
  const links: string[] = [];
  if (page > 1) links.push(link(Math.min(page - 1, last), "prev"));
  if (page < last) links.push(link(page + 1, "next"), link(last, "last"));
  if (page > 1) links.push(link(1, "first"));
  if (links.length > 0) c.header("link", links.join(", "));
}
