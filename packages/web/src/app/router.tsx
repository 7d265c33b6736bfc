/** The addresses of the dashboard and the page at each. */
import { type ImageStatus, imageStatuses, type LoginError, loginErrors } from "@open-inspect/protocol";
import { createRootRoute, createRoute, createRouter, Outlet, type RouterHistory, useLocation } from "@tanstack/react-router";
import { BuildPage } from "../features/builds/build-page.tsx";
import { ImagesPage } from "../features/images/images-page.tsx";
import { LoginPage } from "../features/login/login-page.tsx";
import { RepositoryPage } from "../features/repository/repository-page.tsx";
import { SessionPage } from "../features/session/session-page.tsx";
import { NewSessionPage } from "../features/sessions/new-session-page.tsx";
import { SessionsPage } from "../features/sessions/sessions-page.tsx";
import { readReturn } from "../lib/login.ts";
import { readFilters } from "../lib/session-filters.ts";
import { BrokenPage, NotFoundPage } from "./failure-pages.tsx";
import { Shell } from "./shell.tsx";

const loginAddress = "/login";

const root = createRootRoute({
  // Nobody who is logged out has anything that the frame shows.
  component: function Root() {
    const { pathname } = useLocation();
    return pathname === loginAddress ? <Outlet /> : <Shell />;
  },
});

const login = createRoute({
  getParentRoute: () => root,
  path: loginAddress,
  validateSearch: (search: Record<string, unknown>): { return?: string; error?: LoginError } => {
    const back = readReturn(search.return);
    const error = loginErrors.find((each) => each === search.error);
    return { ...(back === "/" ? {} : { return: back }), ...(error === undefined ? {} : { error }) };
  },
  component: function Login() {
    const search = login.useSearch();
    return <LoginPage back={search.return ?? "/"} error={search.error ?? null} />;
  },
});

const sessions = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: readFilters,
  component: function Sessions() {
    return <SessionsPage filters={sessions.useSearch()} />;
  },
});

const newSession = createRoute({
  getParentRoute: () => root,
  path: "/sessions/new",
  validateSearch: (search: Record<string, unknown>): { repository?: string } =>
    typeof search.repository === "string" ? { repository: search.repository } : {},
  component: function NewSession() {
    const { repository } = newSession.useSearch();
    return <NewSessionPage repository={repository ?? null} />;
  },
});

// Keyed by id: going from one session to another begins with a new log and a new socket.
const session = createRoute({
  getParentRoute: () => root,
  path: "/sessions/$id",
  component: function Session() {
    const { id } = session.useParams();
    return <SessionPage key={id} id={id} />;
  },
});

const images = createRoute({
  getParentRoute: () => root,
  path: "/settings/images",
  validateSearch: (search: Record<string, unknown>): { status?: ImageStatus } => {
    const status = imageStatuses.find((each) => each === search.status);
    return status === undefined ? {} : { status };
  },
  component: function Images() {
    const { status } = images.useSearch();
    return <ImagesPage status={status ?? null} />;
  },
});

const repository = createRoute({
  getParentRoute: () => root,
  path: "/repositories/$owner/$name",
  component: function Repository() {
    const { owner, name } = repository.useParams();
    return <RepositoryPage key={`${owner}/${name}`} owner={owner} name={name} />;
  },
});

const build = createRoute({
  getParentRoute: () => root,
  path: "/builds/$id",
  component: function Build() {
    const { id } = build.useParams();
    return <BuildPage key={id} id={id} />;
  },
});

const routeTree = root.addChildren([login, sessions, newSession, session, images, repository, build]);

/** @param history where addresses live: without one, the browser's bar */
export function createAppRouter(history?: RouterHistory) {
  return createRouter({
    routeTree,
    ...(history === undefined ? {} : { history }),
    scrollRestoration: true,
    defaultNotFoundComponent: NotFoundPage,
    defaultErrorComponent: BrokenPage,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
