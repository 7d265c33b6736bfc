/** A browser of the tests: keeps cookies of one origin and goes to GitHub and back. */
import { exports } from "cloudflare:workers";

export const site = "https://inspect.test";

export interface Browser {
  origin: string;
  cookies: Map<string, string>;
  /** Follows no redirect. */
  go(method: string, path: string, more?: { body?: unknown; headers?: Record<string, string> }): Promise<Response>;
  /** Leaves for GitHub. @returns the authorize page's address */
  leave(back?: string): Promise<URL>;
  /** Everything, as `person`; null says no. @returns where it ends */
  logIn(person: string | null, back?: string): Promise<string>;
}

/** What GitHub's page does with a person's answer. @returns the callback with what it brings */
export async function answerAtGitHub(authorize: URL, person: string | null): Promise<string> {
  const url = new URL(authorize);
  if (person !== null) url.searchParams.set("person", person);
  const answer = await fetch(url, { redirect: "manual" });
  return answer.headers.get("location") ?? "";
}

export function openBrowser(origin = site): Browser {
  const cookies = new Map<string, string>();
  // What may come from one address in a minute is limited.
  const address = crypto.randomUUID();
  const browser: Browser = {
    origin,
    cookies,
    async go(method, path, { body, headers = {} } = {}) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const answer = await exports.default.fetch(path.startsWith("/") ? `${origin}${path}` : path, {
        ...{ method, redirect: "manual" },
        headers: {
          "cf-connecting-ip": address,
          ...(cookie === "" ? {} : { cookie }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      for (const line of answer.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (/max-age=0/i.test(line)) cookies.delete(name);
        else cookies.set(name, value);
      }
      return answer;
    },
    async leave(back) {
      const answer = await browser.go(
        "GET",
        `/api/auth/github${back === undefined ? "" : `?${new URLSearchParams({ return: back })}`}`,
      );
      return new URL(answer.headers.get("location") ?? "");
    },
    async logIn(person, back) {
      const callback = await answerAtGitHub(await browser.leave(back), person);
      const answer = await browser.go("GET", callback);
      return answer.headers.get("location") ?? `${answer.status}`;
    },
  };
  return browser;
}
