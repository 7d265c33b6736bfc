/** New session: choosing by keyboard, saying what will happen, starting, and failing to. */
import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import {
  active,
  buildingImage,
  disabledImage,
  failedImage,
  noImage,
  readyImage,
  repository,
  session,
  sessionId,
  sha,
} from "./fixtures.ts";

const repositories = [
  repository("web", readyImage()),
  repository("api", buildingImage()),
  repository("jobs", failedImage(null)),
  repository("docs", noImage),
  repository("old", disabledImage),
];
const branches = ok({ branches: ["main", "develop"].map((name) => ({ name, sha: sha("a") })) });
const openForm = (path = "/sessions/new", routes: Routes = {}) =>
  openDashboard(path, {
    "GET /api/repositories": ok({ repositories }),
    "POST /api/sessions/reserve": refuse(503, "gateway_unavailable", "No sandbox.", ""),
    ...Object.fromEntries(repositories.map(({ name }) => [`GET /api/repositories/acme/${name}/branches`, branches])),
    ...routes,
  });
const ready = () => waitFor(() => expect(screen.getByPlaceholderText("Choose one")).toBeTruthy());
const forecast = () => document.querySelector("[data-forecast]")?.textContent ?? "";

it("each option says in words how its sessions would start", async () => {
  const { user } = openForm();
  await ready();
  await user.click(screen.getByRole("combobox", { name: "Repository" }));
  expect(
    within(screen.getByRole("listbox"))
      .getAllByRole("option")
      .map((option) => option.textContent),
  ).toEqual(["acme/web Prebuilt", "acme/api Building", "acme/jobs Failed", "acme/docs No image", "acme/old No image"]);
});

it("an image that serves counts as prebuilt whatever its newest build does", async () => {
  const { user } = openDashboard("/sessions/new", {
    "GET /api/repositories": ok({
      repositories: [repository("web", { ...buildingImage(), active: active() }), repository("api", failedImage(active()))],
    }),
  });
  await ready();
  await user.click(screen.getByRole("combobox", { name: "Repository" }));
  expect(
    within(screen.getByRole("listbox"))
      .getAllByRole("option")
      .map((option) => option.textContent),
  ).toEqual(["acme/web Prebuilt", "acme/api Prebuilt"]);
});

it("a repository is found and chosen by keyboard alone", async () => {
  const { user } = openForm();
  await ready();
  const box = screen.getByRole<HTMLInputElement>("combobox", { name: "Repository" });
  box.focus();
  await user.keyboard("{ArrowDown}");
  expect(box.getAttribute("aria-expanded")).toBe("true");
  await user.keyboard("o{ArrowDown}");
  expect(document.getElementById(box.getAttribute("aria-activedescendant") ?? "")?.textContent).toContain("acme/docs");
  await user.keyboard("{Enter}");
  expect(box.value).toBe("acme/docs");
  expect(box.getAttribute("aria-expanded")).toBe("false");
});

it("Escape leaves the choice as it was", async () => {
  const { user } = openForm("/sessions/new?repository=acme/web");
  await waitFor(() => expect(screen.getByRole<HTMLInputElement>("combobox", { name: "Repository" }).value).toBe("acme/web"));
  screen.getByRole("combobox", { name: "Repository" }).focus();
  await user.keyboard("{ArrowDown}{ArrowDown}{Escape}");
  expect(screen.getByRole<HTMLInputElement>("combobox", { name: "Repository" }).value).toBe("acme/web");
});

it.each([
  ["web", "Starts from the image of abc1234, built 3 min ago."],
  ["api", "Starts cold: the first image is still being built."],
  ["jobs", "Starts cold: the first image could not be built."],
  ["docs", "Starts cold: no image has been built yet."],
  ["old", "Starts cold: pre-built images are switched off for this repository."],
])("acme/%s: %s", async (name, sentence) => {
  openForm(`/sessions/new?repository=acme/${name}`);
  await waitFor(() => expect(forecast()).toContain(sentence));
});

it("another branch than the image's starts cold, and says so", async () => {
  const { user } = openForm("/sessions/new?repository=acme/web");
  await screen.findByRole("option", { name: "develop" });
  await user.selectOptions(screen.getByRole("combobox", { name: "Branch" }), "develop");
  expect(forecast()).toContain("Starts cold: the image is of main, not of develop.");
});

it("a failed newer build does not hide that the older image serves", async () => {
  openForm("/sessions/new?repository=acme/web", {
    "GET /api/repositories": ok({ repositories: [repository("web", failedImage(active()))] }),
  });
  await waitFor(() => expect(forecast()).toContain("The newest build failed; this one goes on serving."));
});

it("Enter in the prompt starts the session and leads to its page", async () => {
  const created = session({ status: "syncing", receipt: null, readyAt: null });
  const { user, asked, router } = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions": { status: 201, body: created },
  });
  await waitFor(() => expect(screen.getByRole<HTMLInputElement>("combobox", { name: "Repository" }).value).toBe("acme/web"));
  await user.type(screen.getByRole("textbox", { name: "Prompt" }), "Fix the cart");
  await user.keyboard("{Enter}");
  await waitFor(() => expect(router.state.location.pathname).toBe(`/sessions/${created.id}`));
  expect(asked.find((each) => each.path === "/api/sessions" && each.method === "POST")?.body).toEqual({
    repository: { owner: "acme", name: "web" },
    prompt: "Fix the cart",
  });
  await screen.findByRole("heading", { level: 1, name: created.title });
});

it("a branch that was picked is asked for by its name, the default one is not", async () => {
  const { user, asked } = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions": { status: 201, body: session() },
  });
  await screen.findByRole("option", { name: "develop" });
  await user.selectOptions(screen.getByRole("combobox", { name: "Branch" }), "develop");
  await user.click(screen.getByRole("button", { name: "Start session" }));
  await waitFor(() =>
    expect(asked.find((each) => each.path === "/api/sessions" && each.method === "POST")?.body).toMatchObject({
      branch: "develop",
    }),
  );
});

it("a refused start keeps what was written and says why and what to do", async () => {
  const { user } = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions": refuse(404, "branch_not_found", "There is no branch main.", "Choose another branch."),
  });
  await waitFor(() => expect(screen.getByRole<HTMLInputElement>("combobox", { name: "Repository" }).value).toBe("acme/web"));
  await user.type(screen.getByRole("textbox", { name: "Prompt" }), "Fix the cart");
  await user.click(screen.getByRole("button", { name: "Start session" }));
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("There is no branch main.");
  expect(alert.textContent).toContain("Choose another branch.");
  expect(screen.getByRole<HTMLTextAreaElement>("textbox", { name: "Prompt" }).value).toBe("Fix the cart");
});

it("a repository without a branch cannot be started, and says what is missing", async () => {
  openForm("/sessions/new?repository=acme/empty", {
    "GET /api/repositories": ok({ repositories: [repository("empty", disabledImage, { defaultBranch: null })] }),
  });
  expect(await screen.findByText(/has no branch yet/)).toBeTruthy();
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Start session" }).disabled).toBe(true);
});

const box = () => screen.getByRole("textbox", { name: "Prompt" });
const chosen = () =>
  waitFor(() => expect(screen.getByRole<HTMLInputElement>("combobox", { name: "Repository" }).value).toBe("acme/web"));

it("the first keystroke reserves a sandbox, once, and the session that follows takes it", async () => {
  const reserved = { reservation: sessionId(9), expiresAt: Date.now() + 120_000, isReady: true };
  const { user, asked, count } = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions/reserve": { status: 202, body: reserved },
    "POST /api/sessions": { status: 201, body: session() },
  });
  await chosen();
  expect(count("POST", "/api/sessions/reserve")).toBe(0);
  await user.type(box(), "Fix the cart");
  expect(await screen.findByText("A sandbox is ready for it.")).toBeTruthy();
  expect(asked.filter(({ path }) => path === "/api/sessions/reserve").map(({ body }) => body)).toEqual([
    { repository: "acme/web" },
  ]);
  await user.keyboard("{Enter}");
  await waitFor(() =>
    expect(asked.find((each) => each.path === "/api/sessions" && each.method === "POST")?.body).toEqual({
      repository: { owner: "acme", name: "web" },
      prompt: "Fix the cart",
      reservation: sessionId(9),
    }),
  );
});

it("the session's page stands at once with what was asked, before the server has answered", async () => {
  let answerNow = () => {};
  const { user } = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions": async () => {
      await new Promise<void>((resolve) => {
        answerNow = resolve;
      });
      return { status: 201, body: session({ title: "Fix the cart" }) };
    },
  });
  await chosen();
  await user.type(box(), "Fix the cart{Enter}");
  expect(await screen.findByText("Starting the session…")).toBeTruthy();
  expect(screen.getByRole("heading", { level: 1 }).textContent).toBe("Fix the cart");
  expect(screen.queryByRole("button", { name: "Start session" })).toBeNull();
  answerNow();
  await screen.findByRole("button", { name: "Stop session" });
});

it("Enter in an empty prompt starts nothing", async () => {
  const { user, asked } = openForm("/sessions/new?repository=acme/web");
  await chosen();
  await user.click(box());
  await user.keyboard("{Enter}");
  expect(asked.some(({ method }) => method === "POST")).toBe(false);
});

it("an unfinished prompt is there again after a reload, and gone once it was sent", async () => {
  const first = openForm("/sessions/new?repository=acme/web", { "POST /api/sessions": { status: 201, body: session() } });
  await chosen();
  await first.user.type(box(), "Half");
  await first.router.navigate({ to: "/settings/images" });
  await first.router.navigate({ to: "/sessions/new", search: { repository: "acme/web" } });
  await waitFor(() => expect(box()).toHaveProperty("value", "Half"));
  await chosen();
  await first.user.click(screen.getByRole("button", { name: "Start session" }));
  await screen.findByRole("button", { name: "Stop session" });
  await first.router.navigate({ to: "/sessions/new" });
  await waitFor(() => expect(box()).toHaveProperty("value", ""));
});

it("files go along with the first prompt", async () => {
  const { user, asked } = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions": { status: 201, body: session() },
  });
  await chosen();
  await user.upload(screen.getByLabelText("Files to attach"), new File(["a,b"], "orders.csv", { type: "text/csv" }));
  await screen.findByText("orders.csv");
  await user.type(box(), "Read it{Enter}");
  await waitFor(() =>
    expect(asked.find((each) => each.path === "/api/sessions" && each.method === "POST")?.body).toMatchObject({
      attachments: [{ name: "orders.csv", mime: "text/csv", data: btoa("a,b") }],
    }),
  );
});

it("the repository of the last session is chosen again, and its models are offered", async () => {
  const first = openForm("/sessions/new?repository=acme/web", {
    "POST /api/sessions": { status: 201, body: session({ models: ["fast", "deep"] }) },
  });
  await chosen();
  await first.user.click(screen.getByRole("button", { name: "Start session" }));
  await screen.findByRole("button", { name: "Stop session" });
  await first.router.navigate({ to: "/sessions/new" });
  await chosen();
  await first.user.selectOptions(screen.getByRole("combobox", { name: "Model" }), "deep");
  await first.user.click(screen.getByRole("button", { name: "Start session" }));
  await waitFor(() =>
    expect(first.asked.filter(({ path, method }) => path === "/api/sessions" && method === "POST").at(-1)?.body).toMatchObject({
      ...{ repository: { owner: "acme", name: "web" }, model: "deep" },
    }),
  );
});
