/** The login with GitHub through the real Worker: who gets in, in which browser, for how long, and what nobody gets to see. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { errorBodySchema, type Me, meSchema, type SessionView } from "@open-inspect/protocol";
import { expect, it, vi } from "vitest";
import { tooOldCode } from "../../src/adapters/sockets.ts";
import { deadlines, limits } from "../../src/domain/deadlines.ts";
import { returnPathOf } from "../../src/domain/login.ts";
import { tick } from "../../src/scheduler.ts";
import worker from "../../src/worker.ts";
import { call, eventually, github, origin, passTime } from "./harness.ts";
import { answerAtGitHub, type Browser, openBrowser, site } from "./login-browser.ts";

const me = async (browser: Browser): Promise<Me> => meSchema.parse(await (await browser.go("GET", "/api/me")).json());
const mona = { name: "Mona Lisa", login: "mona", email: "7000002+mona@users.noreply.github.com" };
const rows = async (table: "logins" | "people") => (await env.DB.prepare(`SELECT * FROM ${table}`).all()).results;
const statusOf = async (browser: Browser) => (await browser.go("GET", "/api/sessions")).status;
const loginCookie = "__Host-openinspect";

it("[LI1] whoever may access an installation of the accounts gets in, a stranger and whoever says no do not", async () => {
  const browser = openBrowser();
  expect(await me(browser)).toEqual({ person: null, via: null, avatarUrl: null, canLogIn: true });
  expect(await statusOf(browser)).toBe(401);
  expect(await browser.logIn("mona", "/sessions?q=1#a")).toBe("/sessions?q=1#a");
  expect(await me(browser)).toEqual({
    ...{ person: mona, via: "github", canLogIn: true },
    avatarUrl: "https://avatars.githubusercontent.com/u/7000002",
  });
  expect(await statusOf(browser)).toBe(200);
  const stranger = openBrowser();
  expect(await stranger.logIn("stranger", "/images")).toBe("/login?error=not_allowed&return=%2Fimages");
  expect(await statusOf(stranger)).toBe(401);
  expect((await github({ do: "state" })).login.ended, "the token of a stranger is not left alive").toHaveLength(1);
  expect(await openBrowser().logIn(null)).toBe("/login?error=denied");
  await github({ do: "tokens", are: "down" });
  expect(await openBrowser().logIn("mona")).toBe("/login?error=github_unavailable");
  const person = openBrowser();
  await github({ do: "tokens", are: null });
  expect(await person.logIn("octo-dev"), "the name of an account without regard to case").toBe("/");
  expect((await me(person)).person).toMatchObject({ name: "octo-dev", login: "octo-dev" });
});

it("[LI2] a login ends in the browser in which it began, once, and in time", async () => {
  const [mine, theirs] = [openBrowser(), openBrowser()];
  const callback = await answerAtGitHub(await mine.leave(), "mona");
  const expired = "/login?error=expired";
  const come = async (browser: Browser, url: string) => (await browser.go("GET", url)).headers.get("location");
  expect(await come(theirs, callback), "no login began there").toBe(expired);
  await theirs.leave();
  expect(await come(theirs, callback), "another one did").toBe(expired);

  const kept = new Map(mine.cookies);
  expect(await come(mine, callback)).toBe("/");
  expect(await come(mine, callback), "replayed").toBe(expired);
  expect((await me(mine)).via, "which does not log anybody out").toBe("github");
  for (const [name, value] of kept) theirs.cookies.set(name, value);
  expect(await come(theirs, callback), "replayed with the cookie of before").toBe(expired);

  const forged = openBrowser();
  const away = await forged.leave();
  const right = new URL(await answerAtGitHub(away, "mona"));
  right.searchParams.set("state", "x".repeat(43));
  expect(await come(forged, right.href), "forged state").toBe(expired);
  await forged.leave();
  expect(await come(forged, "/api/auth/github/callback?error=access_denied&state=x"), "a no to nothing").toBe(expired);
  await forged.leave();
  for (const name of forged.cookies.keys()) forged.cookies.set(name, btoa("x".repeat(200)));
  expect(await come(forged, right.href), "forged cookie").toBe(expired);

  const late = openBrowser();
  const back = await answerAtGitHub(await late.leave(), "mona");
  passTime(deadlines.loginReturnMs + 1);
  expect(await come(late, back)).toBe(expired);
});

it("[LI1] where it is not set up nobody logs in, and what is set up by half is named", async () => {
  const cookie = openBrowser();
  await cookie.logIn("mona");
  const get = async (path: string, change: Partial<typeof env>) => {
    const headers = { cookie: `${loginCookie}=${cookie.cookies.get(loginCookie)}` };
    const context = createExecutionContext();
    return worker.fetch(new Request(`${site}${path}`, { headers }), { ...env, ...change }, context);
  };
  const nobody = { LOGIN_ACCOUNTS: " , " };
  expect((await get("/api/sessions", {})).status).toBe(200);
  expect((await get("/api/sessions", nobody)).status).toBe(401);
  expect((await get("/api/auth/github", nobody)).status).toBe(404);
  expect(await (await get("/api/me", nobody)).json()).toMatchObject({ person: null, canLogIn: false });
  const half = await get("/api/me", { GITHUB_CLIENT_SECRET: "" });
  expect(errorBodySchema.parse(await half.json()).error.message).toContain("GITHUB_CLIENT_SECRET");
  const unnamed = await get("/api/me", { GITHUB_CLIENT_ID: "", GITHUB_CLIENT_SECRET: "" });
  expect(errorBodySchema.parse(await unnamed.json()).error.message).toContain("LOGIN_ACCOUNTS");
});

it("[LI2] codes from one address are tried a limited number of times, and none without a login that began", async () => {
  const browser = openBrowser();
  const exchanges = async () => (await github({ do: "state" })).calls.filter((one) => one.endsWith("/access_token")).length;
  await browser.go("GET", "/api/auth/github/callback?code=guess&state=guess");
  expect(await exchanges()).toBe(0);
  const away = await browser.leave();
  const kept = new Map(browser.cookies);
  const callback = `/api/auth/github/callback?code=guess&state=${away.searchParams.get("state")}`;
  const statuses: number[] = [];
  for (let count = 0; count < 70 && !statuses.includes(429); count++) {
    for (const [name, value] of kept) browser.cookies.set(name, value);
    statuses.push((await browser.go("GET", callback)).status);
  }
  expect(statuses).toContain(429);
  expect(await exchanges()).toBe(statuses.length - 1);
});

it("[LI2] a code without the verifier of this browser is worth nothing", async () => {
  const [victim, thief] = [openBrowser(), openBrowser()];
  const stolen = new URL(await answerAtGitHub(await victim.leave(), "mona"));
  const own = await thief.leave();
  stolen.searchParams.set("state", own.searchParams.get("state") ?? "");
  expect((await thief.go("GET", stolen.href)).headers.get("location")).toBe("/login?error=expired");
  expect(own.searchParams.get("code_challenge_method")).toBe("S256");
  expect(own.searchParams.get("redirect_uri")).toBe(`${site}/api/auth/github/callback`);
});

it("[LI3] a login leads back to paths of ours alone", async () => {
  for (const path of ["/", "/sessions/ses_1?tab=diff", "/repositories/acme/shop#x"]) expect(returnPathOf(path, site)).toBe(path);
  const wrong = [
    "https://evil.test/",
    "//evil.test",
    "/\\evil.test",
    "/a\\b",
    "\\\\evil.test",
    "javascript:alert(1)",
    "sessions",
  ];
  const hidden = ["/.//evil.test", "/x/..//evil.test", "/\t/evil.test", "/\n/evil.test", " //evil.test", `/${"x".repeat(2_000)}`];
  for (const path of [...wrong, ...hidden, "/api/auth/github", "/model/v1", "", undefined]) {
    expect(returnPathOf(path, site), JSON.stringify(path)).toBe("/");
  }
  expect(await openBrowser().logIn("mona", "//evil.test/x")).toBe("/");
});

it("[LI4] the cookie is the browser's alone, and the database could not make one", async () => {
  const browser = openBrowser();
  const callback = await answerAtGitHub(await browser.leave(), "mona");
  const [, set = ""] = (await browser.go("GET", callback)).headers.getSetCookie();
  expect(set).toMatch(/^__Host-openinspect=[\w-]{43}; Max-Age=2592000; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
  const secret = browser.cookies.get(loginCookie) ?? "";
  const stored = JSON.stringify([await rows("logins"), await rows("people")]);
  expect(stored).not.toContain(secret);
  expect(stored).not.toMatch(/gh[ur]_/);
  expect(await rows("logins")).toMatchObject([{ hash: expect.stringMatching(/^[0-9a-f]{64}$/), github_id: 7_000_002 }]);

  const hash = String((await rows("logins"))[0]?.hash);
  const other = openBrowser();
  for (const value of [hash, secret.slice(1), `${secret}x`, "'; DROP TABLE logins; --", ""]) {
    other.cookies.set(loginCookie, value);
    expect(await statusOf(other), value).toBe(401);
  }
  const plain = openBrowser("http://inspect.test");
  plain.cookies.set("openinspect", secret);
  expect(await statusOf(plain), "over plain http a cookie is no secret").toBe(401);
  expect((await plain.go("GET", "/api/auth/github")).status).toBe(403);
  expect((await me(plain)).canLogIn).toBe(false);
});

it("[LI4] a login ends after its time, and a person has a limited number of them", async () => {
  const browsers: Browser[] = [];
  for (let count = 0; count <= limits.loginsPerPerson; count++) {
    const browser = openBrowser();
    await browser.logIn("mona");
    browsers.push(browser);
    passTime(1_000);
  }
  expect(await Promise.all(browsers.map(statusOf))).toEqual([401, ...Array(limits.loginsPerPerson).fill(200)]);
  const newest = browsers.at(-1);
  await browsers.at(-2)?.go("POST", "/api/auth/logout");
  await newest?.logIn("mona");
  expect(await rows("logins"), "the same browser has one").toHaveLength(limits.loginsPerPerson - 1);
  passTime(deadlines.loginMs + 1);
  expect(newest && (await statusOf(newest))).toBe(401);
  await tick(env);
  expect([await rows("logins"), await rows("people")]).toEqual([[], []]);
});

it("[LI5] the cookie counts before the developer identity, and pages of other sites get nothing by either", async () => {
  const browser = openBrowser(origin);
  expect(await me(browser)).toMatchObject({ via: "developer", person: { name: "dev" }, canLogIn: true });
  await browser.logIn("mona");
  expect(await me(browser)).toMatchObject({ via: "github", person: mona });
  const evil = { origin: "https://evil.test" };
  for (const path of ["/api/sessions", "/api/me"]) {
    const answer = await browser.go("GET", path, { headers: evil });
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  }
  for (const path of ["/api/feed", `/api/sessions/ses_${"0".repeat(26)}/events`, `/api/builds/bld_${"0".repeat(26)}/events`]) {
    const socket = await browser.go("GET", path, { headers: { ...evil, upgrade: "websocket" } });
    expect(socket.status, path).toBe(403);
  }
  expect((await browser.go("POST", "/api/auth/logout", { headers: evil })).status).toBe(403);
  expect((await me(browser)).via, "nobody was logged out").toBe("github");
  const feed = await browser.go("GET", "/api/feed", { headers: { origin, upgrade: "websocket" } });
  expect(feed.status, "our own page's sockets take the cookie").toBe(101);
  feed.webSocket?.accept();
  feed.webSocket?.close();
});

it("[LI4] [LI8] a logout ends the login, and the last one the token at GitHub", async () => {
  const [first, second] = [openBrowser(), openBrowser()];
  await first.logIn("mona");
  await second.logIn("mona");
  const { login } = await github({ do: "state" });
  const out = async (browser: Browser) => (await (await browser.go("POST", "/api/auth/logout")).json()) as object;
  const kept = first.cookies.get(loginCookie) ?? "";
  expect(await out(first)).toEqual({ loggedOut: true });
  expect(first.cookies.has(loginCookie)).toBe(false);
  expect(await out(first)).toEqual({ loggedOut: false });
  first.cookies.set(loginCookie, kept);
  expect(await statusOf(first), "a kept cookie is worth nothing").toBe(401);
  expect(await statusOf(second)).toBe(200);
  expect((await github({ do: "state" })).login.ended).toEqual([]);
  await out(second);
  await eventually(async () => (await github({ do: "state" })).login.ended.length === 1, "the token is ended");
  expect(login.tokens).toContain((await github({ do: "state" })).login.ended[0]);
  expect(await rows("people")).toEqual([]);
});

it("[LI8] [LG3] no token, code, verifier, cookie or secret is in a log line or an answer", async () => {
  const lines: string[] = [];
  const spies = (["log", "warn", "error"] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation((...words) => void lines.push(words.join(" "))),
  );
  const browser = openBrowser();
  const away = await browser.leave();
  const callback = await answerAtGitHub(away, "mona");
  const answers = [await (await browser.go("GET", callback)).text()];
  answers.push(await (await browser.go("GET", callback)).text(), await (await browser.go("GET", "/api/me")).text());
  const { tokens } = (await github({ do: "state" })).login;
  await github({ do: "tokens", are: "lost" });
  passTime(9 * 3_600_000);
  await statusOf(browser);
  await github({ do: "tokens", are: null });
  passTime(deadlines.personPauseMs + 1);
  answers.push(await (await browser.go("GET", "/api/sessions")).text());
  const code = new URL(callback).searchParams.get("code") ?? "";
  const secrets = [...tokens, code, "the-client-secret", ...browser.cookies.values()].filter((one) => one !== "");
  expect(secrets.length).toBeGreaterThan(3);
  for (const spy of spies) spy.mockRestore();
  expect(lines.join("\n")).toContain("person.logged_in");
  for (const secret of secrets) expect([...lines, ...answers].join("\n")).not.toContain(secret);
});

it("[LI9] whoever is logged in is named in sessions, prompts and what others see of them", async () => {
  const browser = openBrowser();
  await browser.logIn("mona");
  const answer = await browser.go("POST", "/api/sessions", { body: { repository: "acme/shop", prompt: "Mend it" } });
  const session = (await answer.json()) as SessionView;
  expect(session.author).toEqual(mona);
  expect(session.prompts[0]?.author).toEqual(mona);
  const { webSocket } = await browser.go("GET", `/api/sessions/${session.id}/events`, {
    headers: { origin: site, upgrade: "websocket" },
  });
  const heard: string[] = [];
  webSocket?.addEventListener("message", ({ data }) => void heard.push(String(data)));
  webSocket?.accept();
  await eventually(async () => heard.some((one) => one.includes('"presence"') && one.includes(mona.email)), "mona is present");
  webSocket?.close();
  await browser.go("POST", "/api/sessions/reserve", { body: { repository: "acme/shop" } });
  const { results } = await env.DB.prepare("SELECT person FROM reservations").all();
  expect(results).toEqual([{ person: "mona" }]);
});

it("[LI10] a socket is told nothing more once it is old, and who comes back has to be somebody still", async () => {
  const browser = openBrowser();
  await browser.logIn("mona");
  const start = { repository: "acme/shop", prompt: "Mend it" };
  const { id } = (await (await browser.go("POST", "/api/sessions", { body: start })).json()) as SessionView;
  const sockets = ["/api/feed", `/api/sessions/${id}/events`].map(async (path) => {
    const { webSocket } = await browser.go("GET", path, { headers: { origin: site, upgrade: "websocket" } });
    const told = { text: "", closed: null as number | null };
    webSocket?.addEventListener("message", ({ data }) => {
      told.text += data;
    });
    webSocket?.addEventListener("close", ({ code }) => {
      told.closed = code;
    });
    webSocket?.accept();
    return told;
  });
  const told = await Promise.all(sockets);
  const rename = (title: string) => call("PATCH", `/api/sessions/${id}`, { title });
  await rename("Title one");
  await eventually(async () => told.every(({ text }) => text.includes("Title one")), "both are told of the change");
  await browser.go("POST", "/api/auth/logout");
  passTime(deadlines.viewerLifeMs);
  await rename("Title two");
  await eventually(async () => told.every(({ closed }) => closed === tooOldCode), "both are sent away");
  expect(told.some(({ text }) => text.includes("Title two"))).toBe(false);
  const again = await browser.go("GET", "/api/feed", { headers: { origin: site, upgrade: "websocket" } });
  expect(again.status).toBe(401);
});
