/** REST routes of whoever logged in to the GitHub App: themselves, what they share with it, and the app's own look at their tokens. */
import { type Hono } from "hono";
import { z } from "zod";
import { hashToken } from "../app-tokens.ts";
import { isoSeconds } from "../commits.ts";
import { type OauthOptions, sameSecret } from "../login.ts";
import { type Person } from "../people.ts";
import { type Repository } from "../repositories.ts";
import { type Account, type UserTokenRecord } from "../state.ts";
import {
  type ApiContext,
  type ApiEnv,
  type ApiPorts,
  apiError,
  linkPages,
  notAccessible,
  notFound,
  pageOf,
  requestJson,
} from "./answers.ts";
import { installedAccounts } from "./app-routes.ts";
import { accountShape, installationShape, repositoryShape, selectionOf } from "./shapes.ts";

export const applicationsPath = "/applications/";
const tokenSchema = z.object({ access_token: z.string().min(1) });

export function addUserRoutes(api: Hono<ApiEnv>, ports: ApiPorts & { oauth: OauthOptions | null }): void {
  const { people, repositories, userTokens } = ports;
  const profile = (account: Pick<Account, "id" | "login" | "type" | "createdAt">) => {
    const person = people.byAccount(account.id);
    const publicRepos = repositories.list().filter((entry) => entry.ownerId === account.id && !entry.private).length;
    const times = { created_at: isoSeconds(account.createdAt), updated_at: isoSeconds(account.createdAt) };
    return {
      ...accountShape(ports.url(), account),
      ...{ name: person?.name ?? null, email: person?.email ?? null, notification_email: person?.email ?? null },
      ...{ company: null, blog: "", location: null, hireable: null, bio: null, twitter_username: null },
      ...{ public_repos: publicRepos, public_gists: 0, followers: 0, following: 0 },
      ...times,
    };
  };
  api.get("/user", (c) => {
    const identity = c.get("identity");
    switch (identity.kind) {
      case "user":
        return c.json(profile(identity.person.account));
      case "person": {
        const { login } = identity;
        return c.json(profile(repositories.findAccount(login) ?? { id: 1000, login, type: "User", createdAt: 0 }));
      }
      case "anonymous":
        throw apiError(401, "Requires authentication");
      case "app":
      case "installation":
        throw notAccessible();
    }
  });
  api.get("/users/:login", (c) => {
    const account = repositories.findAccount(c.req.param("login"));
    if (account === null) throw notFound();
    return c.json(profile(account));
  });

  const requireUser = (c: ApiContext): Person => {
    const identity = c.get("identity");
    if (identity.kind === "user") return identity.person;
    if (identity.kind === "anonymous") throw apiError(401, "Requires authentication");
    const message = "You must authenticate with an access token authorized to a GitHub App in order to list installations";
    throw apiError(403, message);
  };
  const sharedBy = (person: Person, account: Account): Repository[] =>
    repositories
      .list()
      .filter((entry) => entry.ownerId === account.id && entry.granted && people.levelOf(person.accountId, entry) !== null);
  const installationsOf = (person: Person) =>
    installedAccounts(repositories).filter((account) => sharedBy(person, account).length > 0);
  const shape = (account: Account) =>
    installationShape(ports.url(), account, ports.app, selectionOf(repositories.list(), account));

  api.get("/user/installations", (c) => {
    const all = installationsOf(requireUser(c));
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, all.length);
    return c.json({ total_count: all.length, installations: all.slice(skip, skip + perPage).map(shape) });
  });
  api.get("/user/installations/:id/repositories", (c) => {
    const person = requireUser(c);
    const account = installationsOf(person).find((entry) => String(entry.installationId) === c.req.param("id"));
    if (account === undefined) throw notFound();
    const all = sharedBy(person, account);
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, all.length);
    const print = (entry: Repository) => repositoryShape(ports.url(), entry, people.levelOf(person.accountId, entry) === "push");
    return c.json({
      total_count: all.length,
      repository_selection: selectionOf(repositories.list(), account),
      repositories: all.slice(skip, skip + perPage).map(print),
    });
  });

  /** The app, by its client id and secret, with a token that it asks about. */
  const tokenAskedFor = async (c: ApiContext): Promise<{ token: string; record: UserTokenRecord }> => {
    const [, encoded = ""] = /^basic\s+(\S+)$/i.exec(c.req.header("authorization") ?? "") ?? [];
    const [id, ...secret] = Buffer.from(encoded, "base64").toString("utf8").split(":");
    const { oauth } = ports;
    if (oauth === null || id !== oauth.clientId || !sameSecret(secret.join(":"), oauth.clientSecret)) {
      throw apiError(401, encoded === "" ? "Requires authentication" : "Bad credentials");
    }
    if (c.req.param("clientId") !== oauth.clientId) throw notFound();
    const body = tokenSchema.safeParse(await requestJson(c));
    if (!body.success) {
      const errors = [{ resource: "OauthAccess", field: "access_token", code: "missing_field" }];
      throw apiError(422, "Validation Failed", { errors });
    }
    const token = body.data.access_token;
    const record = userTokens.find(hashToken(token));
    if (record === null) throw notFound();
    return { token, record };
  };
  api.post(`${applicationsPath}:clientId/token`, async (c) => {
    const { token, record } = await tokenAskedFor(c);
    const person = people.byAccount(record.accountId);
    if (person === null) throw notFound();
    return c.json({
      id: record.id,
      url: `${ports.url()}/authorizations/${record.id}`,
      app: { client_id: ports.app.clientId, name: ports.app.name, url: `${ports.url()}/apps/${ports.app.slug}` },
      token,
      hashed_token: record.hash,
      token_last_eight: record.lastEight,
      note: null,
      note_url: null,
      scopes: [],
      fingerprint: null,
      created_at: isoSeconds(record.createdAt),
      updated_at: isoSeconds(record.createdAt),
      expires_at: isoSeconds(record.expiresAt),
      user: accountShape(ports.url(), person.account),
    });
  });
  api.delete(`${applicationsPath}:clientId/token`, async (c) => {
    await userTokens.revoke((await tokenAskedFor(c)).record);
    return c.body(null, 204);
  });
  api.delete(`${applicationsPath}:clientId/grant`, async (c) => {
    await userTokens.revokeAll((await tokenAskedFor(c)).record.accountId);
    return c.body(null, 204);
  });
}
