import { expect, test } from "vitest";
import { failureOf, person, startWorld } from "./support.ts";

const head = "nameWithOwner isArchived isEmpty defaultBranchRef { name target { oid } }";

test("a hundred aliases are read in one request, and one that is missing takes nothing from the others", async () => {
  const world = await startWorld();
  const shas = new Map<string, string>();
  for (let index = 0; index < 12; index++) {
    await world.github.addRepository({ owner: "acme", name: `r${index}`, private: true, empty: true });
    if (index === 11) continue;
    shas.set(
      `acme/r${index}`,
      (await world.github.commit("acme", `r${index}`, { message: "One", files: { a: `${index}` } })).sha,
    );
  }
  const { octokit } = await world.asInstallation("acme");
  // The last alias names a repository that is not there; the others take turns.
  const name = (index: number) => (index === 99 ? "r99" : `r${index % 12}`);
  const aliases = Array.from(
    { length: 100 },
    (_, index) => `r${index}: repository(owner: "acme", name: "${name(index)}") { ${head} }`,
  );
  const response = await octokit.request("POST /graphql", {
    query: `{ rateLimit { cost remaining limit } ${aliases.join("\n")} }`,
  });
  expect(response.data.data.r10).toEqual({
    nameWithOwner: "acme/r10",
    isArchived: false,
    isEmpty: false,
    defaultBranchRef: { name: "main", target: { oid: shas.get("acme/r10") } },
  });
  expect(response.data.data.r11).toEqual({ nameWithOwner: "acme/r11", isArchived: false, isEmpty: true, defaultBranchRef: null });
  expect(response.data.data.r94.defaultBranchRef.target.oid).toBe(shas.get("acme/r10"));
  expect(response.data.data.r99).toBeNull();
  expect(response.data.data.rateLimit).toMatchObject({ cost: 1, limit: 5000, remaining: 4999 });
  expect(response.data.errors).toEqual([
    {
      type: "NOT_FOUND",
      path: ["r99"],
      locations: [{ line: expect.any(Number), column: expect.any(Number) }],
      message: "Could not resolve to a Repository with the name 'acme/r99'.",
    },
  ]);
  expect(response.headers).toMatchObject({ "x-ratelimit-resource": "graphql", "x-ratelimit-remaining": "4999" });
});

test("refs are found by full and short name, and a commit tells about itself", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", { message: "One", files: { a: "1" } });
  const { sha } = await world.github.commit("acme", "sample", {
    branch: "feature/x",
    message: "Side\n\nbody",
    files: { b: "1" },
  });
  const query = `query ($owner: String!, $name: String!) { repository(owner: $owner, name: $name) {
    full: ref(qualifiedName: "refs/heads/feature/x") { name prefix target { __typename oid ... on Commit { messageHeadline committedDate author { name email user { login } } } } }
    short: ref(qualifiedName: "feature/x") { target { oid } }
    none: ref(qualifiedName: "refs/heads/none") { name }
    owner { login __typename }
  } }`;
  const { login } = person;
  const author = { name: login, email: `${login}@users.noreply.github.invalid`, user: null };
  const data = await world.withToken(person.token).graphql(query, { owner: "ACME", name: "Sample" });
  expect(data).toEqual({
    repository: {
      full: {
        name: "feature/x",
        prefix: "refs/heads/",
        target: { __typename: "Commit", oid: sha, messageHeadline: "Side", committedDate: expect.stringMatching(/Z$/), author },
      },
      short: { target: { oid: sha } },
      none: null,
      owner: { login: "acme", __typename: "Organization" },
    },
  });
});

test("the node id that REST gives finds the same repository", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "one", empty: true });
  await world.github.addRepository({ owner: "other", name: "two", private: true, empty: true });
  const { octokit } = await world.asInstallation("acme");
  const mine = (await octokit.request("GET /repos/acme/one")).data.node_id;
  const foreign = (await world.withToken(person.token).request("GET /repos/other/two")).data.node_id;
  const { data } = await octokit.request("POST /graphql", {
    query: "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Repository { nameWithOwner } } }",
    variables: { ids: [mine, foreign, "R_nonsense"] },
  });
  expect(data.data.nodes).toEqual([{ id: mine, nameWithOwner: "acme/one" }, null, null]);
  expect(data.errors).toMatchObject([
    { type: "NOT_FOUND", path: ["nodes", 1] },
    { type: "NOT_FOUND", path: ["nodes", 2] },
  ]);
});

test("a query needs a token, and a wrong query says what is wrong under status 200", async () => {
  const world = await startWorld();
  expect((await failureOf(world.withToken(null).graphql("{ rateLimit { limit } }"))).status).toBe(401);
  expect((await failureOf(world.withToken("ghs_wrong").graphql("{ rateLimit { limit } }"))).status).toBe(401);
  const client = world.withToken(person.token);
  await expect(client.graphql("{ nonsense }")).rejects.toThrow(/Cannot query field "nonsense"/);
  await expect(client.graphql("{ rateLimit {")).rejects.toThrow(/Syntax Error/);
  const wrong = await fetch(`${world.github.url}/graphql`, {
    method: "POST",
    body: "{",
    headers: { authorization: `bearer ${person.token}` },
  });
  expect(wrong.status).toBe(400);
});

test("the author of a commit is an account where the address is one that GitHub gives to it", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: person.login, name: "own", empty: true });
  await world.github.commit(person.login, "own", { message: "One", files: { a: "1" } });
  const query = `query ($owner: String!) { repository(owner: $owner, name: "own") {
    defaultBranchRef { target { ... on Commit { author { name user { login } } committer { user { login } } } } }
  } }`;
  const data = await world.withToken(person.token).graphql(query, { owner: person.login });
  const user = { login: person.login };
  expect(data).toEqual({
    repository: { defaultBranchRef: { target: { author: { name: person.login, user }, committer: { user } } } },
  });
});
