/** REST routes of the GitHub App: itself, its installations, their tokens, and what a token may see. */
import { type Hono } from "hono";
import { z } from "zod";
import { covers, type Identity, suspendedRefusal } from "../access.ts";
import { appEvents, appPermissions } from "../app-tokens.ts";
import { isoSeconds } from "../commits.ts";
import { type Repositories } from "../repositories.ts";
import { type Account, type Permissions, permissionsSchema, type TokenRecord } from "../state.ts";
import {
  type ApiContext,
  type ApiEnv,
  type ApiPorts,
  apiError,
  linkPages,
  locate,
  movedTo,
  notAccessible,
  notFound,
  pageOf,
  requestJson,
} from "./answers.ts";
import { accountShape, installationShape, nodeId, repositoryShape, selectionOf } from "./shapes.ts";

const tokenRequestSchema = z.object({
  repositories: z.array(z.string()).max(500).optional(),
  repository_ids: z.array(z.number().int()).max(500).optional(),
  permissions: permissionsSchema.optional(),
});
const levels = { read: 1, write: 2 } as const;

/** Whoever owns a repository has the app, until they take it off. */
export const installedAccounts = (repositories: Repositories): Account[] =>
  repositories
    .accounts()
    .filter((account) => account.installed && repositories.list().some((entry) => entry.ownerId === account.id));

export function addAppRoutes(api: Hono<ApiEnv>, ports: ApiPorts): void {
  const requireApp = (c: ApiContext) => {
    const { kind } = c.get("identity");
    if (kind === "app") return;
    throw apiError(401, kind === "anonymous" ? "Requires authentication" : "A JSON web token could not be decoded");
  };
  const requireInstallation = (c: ApiContext): TokenRecord => {
    const identity: Identity = c.get("identity");
    switch (identity.kind) {
      case "installation":
        return identity.token;
      case "anonymous":
        throw apiError(401, "Requires authentication");
      case "app":
      case "user":
      case "person":
        throw notAccessible();
    }
  };
  const shape = (account: Account) =>
    installationShape(ports.url(), account, ports.app, selectionOf(ports.repositories.list(), account));
  const installations = () => installedAccounts(ports.repositories);
  const installation = (id: string | undefined): Account => {
    const account = installations().find((entry) => String(entry.installationId) === id);
    if (account === undefined) throw notFound();
    return account;
  };

  api.get("/app", (c) => {
    requireApp(c);
    const createdAt = isoSeconds(Date.UTC(2026, 0, 1));
    const owner = { id: 1000, login: ports.personLogin, type: "User" } as const;
    return c.json({
      id: ports.app.id,
      client_id: ports.app.clientId,
      slug: ports.app.slug,
      node_id: nodeId("A", ports.app.id),
      owner: accountShape(ports.url(), ports.repositories.findAccount(ports.personLogin) ?? owner),
      name: ports.app.name,
      description: null,
      external_url: ports.url(),
      html_url: `${ports.url()}/apps/${ports.app.slug}`,
      created_at: createdAt,
      updated_at: createdAt,
      permissions: appPermissions,
      events: appEvents,
      installations_count: installations().length,
    });
  });
  api.get("/app/installations", (c) => {
    requireApp(c);
    const all = installations();
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, all.length);
    return c.json(all.slice(skip, skip + perPage).map(shape));
  });
  api.get("/app/installations/:id", (c) => {
    requireApp(c);
    return c.json(shape(installation(c.req.param("id"))));
  });
  api.get("/repos/:owner/:repo/installation", (c) => {
    requireApp(c);
    const { repository, isHere } = locate(ports, c);
    if (!repository.owner.installed || !repository.granted) throw notFound();
    if (!isHere) throw movedTo(ports, c, repository);
    return c.json(shape(repository.owner));
  });
  for (const kind of ["orgs", "users"] as const) {
    api.get(`/${kind}/:login/installation`, (c) => {
      requireApp(c);
      const account = ports.repositories.findAccount(c.req.param("login") ?? "");
      if (account === null || (kind === "orgs" && account.type !== "Organization")) throw notFound();
      return c.json(shape(installation(String(account.installationId))));
    });
  }

  api.post("/app/installations/:id/access_tokens", async (c) => {
    requireApp(c);
    const account = installation(c.req.param("id"));
    if (account.suspendedAt !== null) throw apiError(403, suspendedRefusal);
    const request = tokenRequestSchema.safeParse((await requestJson(c)) ?? {});
    if (!request.success) throw apiError(422, "Invalid request.\n\nThe body does not match what a token is asked for with.");
    const { repositories, repository_ids: ids } = request.data;
    const all = ports.repositories.list().filter((entry) => entry.ownerId === account.id && entry.granted);
    const selecting = repositories !== undefined || ids !== undefined;
    const chosen = [
      ...(repositories ?? []).map((name) => all.find((entry) => entry.name.toLowerCase() === name.toLowerCase())),
      ...(ids ?? []).map((id) => all.find((entry) => entry.id === id)),
    ].filter((entry) => entry !== undefined);
    if (chosen.length < (repositories?.length ?? 0) + (ids?.length ?? 0)) {
      throw apiError(
        422,
        "There is at least one repository that does not exist or is not accessible to the parent installation.",
      );
    }
    const permissions = narrow(request.data.permissions);
    if (permissions === null) throw apiError(422, "The permissions requested are not granted to this installation.");
    const repositoryIds = selecting ? [...new Set(chosen.map((entry) => entry.id))] : null;
    const { token, expiresAt } = await ports.tokens.issue({ installationId: account.installationId, repositoryIds, permissions });
    const canPush = permissions.contents === "write";
    return c.json(
      {
        token,
        expires_at: isoSeconds(expiresAt),
        permissions,
        repository_selection: selecting ? "selected" : "all",
        ...(selecting ? { repositories: chosen.map((entry) => repositoryShape(ports.url(), entry, canPush)) } : {}),
      },
      201,
    );
  });
  api.delete("/installation/token", async (c) => {
    await ports.tokens.revoke(requireInstallation(c).hash);
    return c.body(null, 204);
  });
  api.get("/installation/repositories", (c) => {
    const token = requireInstallation(c);
    const visible = ports.repositories.list().filter((entry) => covers(token, entry));
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, visible.length);
    const canPush = token.permissions.contents === "write";
    return c.json({
      total_count: visible.length,
      repository_selection: token.repositoryIds === null ? "all" : "selected",
      repositories: visible.slice(skip, skip + perPage).map((entry) => repositoryShape(ports.url(), entry, canPush)),
    });
  });
}

/** The permissions asked for, when the app has them; all of the app's when none are named. Metadata is always readable. */
function narrow(asked: Permissions | undefined): Permissions | null {
  if (asked === undefined) return { ...appPermissions };
  const granted: Permissions = appPermissions;
  for (const [name, level] of Object.entries(asked)) {
    const most = granted[name];
    if (most === undefined || levels[level] > levels[most]) return null;
  }
  return { ...asked, metadata: "read" };
}
