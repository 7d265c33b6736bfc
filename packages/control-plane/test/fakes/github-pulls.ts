/** Pull requests of the in-memory GitHub: as much of them as octokit's answers need. */
export interface FakePull {
  number: number;
  repository: string;
  head: string;
  base: string;
  title: string;
  body: string;
  draft: boolean;
  state: "open" | "closed";
  merged: boolean;
  /** GitHub's times are whole seconds */
  updatedAt: number;
  /** null: the App */
  author: string | null;
}

export function createFakePulls() {
  const pulls: FakePull[] = [];
  /** what the next creations are refused with, as a 422 of GitHub's */
  let refusal: string | null = null;
  const shape = (pull: FakePull) => ({
    number: pull.number,
    html_url: `http://github.test/${pull.repository}/pull/${pull.number}`,
    state: pull.state,
    draft: pull.draft,
    merged_at: pull.merged ? new Date(pull.updatedAt).toISOString() : null,
    title: pull.title,
    body: pull.body,
    updated_at: `${new Date(pull.updatedAt).toISOString().slice(0, 19)}Z`,
    head: { ref: pull.head },
    base: { ref: pull.base },
    user: pull.author === null ? { login: "open-inspect[bot]", type: "Bot" } : { login: pull.author, type: "User" },
  });
  const invalid = (message: string) =>
    Response.json(
      { message: "Validation Failed", errors: [{ resource: "PullRequest", code: "custom", message }] },
      { status: 422 },
    );

  return {
    list: () => pulls,
    shape,
    refuse(message: string | null) {
      refusal = message;
    },
    change(number: number, change: Partial<FakePull>) {
      const pull = pulls.find((one) => one.number === number);
      if (pull) Object.assign(pull, { updatedAt: Date.now() }, change);
    },
    /** @param rest the path below `/repos/:owner/:name/pulls` @param author whoever asks, null for the App */
    async serve(request: Request, repository: string, rest: string | undefined, author: string | null): Promise<Response> {
      const own = pulls.filter((one) => one.repository.toLowerCase() === repository.toLowerCase());
      const query = new URL(request.url).searchParams;
      if (rest === undefined && request.method === "GET") {
        const isAsked = (pull: FakePull) =>
          pull.state === (query.get("state") ?? "open") && `${repository.split("/")[0]}:${pull.head}` === query.get("head");
        return Response.json(own.filter(isAsked).map(shape));
      }
      if (rest === undefined) {
        const { head, base, title, body, draft } = (await request.json()) as FakePull;
        if (refusal !== null) return invalid(refusal);
        if (own.some((one) => one.state === "open" && one.head === head))
          return invalid(`A pull request already exists for x:${head}.`);
        const pull: FakePull = {
          ...{ number: pulls.length + 1, repository, head, base, title, body, draft, author },
          ...{ state: "open", merged: false, updatedAt: Date.now() },
        };
        pulls.push(pull);
        return Response.json(shape(pull), { status: 201 });
      }
      const found = own.find((one) => String(one.number) === rest);
      if (!found) return Response.json({ message: "Not Found" }, { status: 404 });
      if (request.method === "PATCH") Object.assign(found, await request.json(), { updatedAt: Date.now() });
      return Response.json(shape(found));
    },
  };
}
