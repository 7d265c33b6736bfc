/**
 * The part of GitHub's GraphQL API that reads repositories and their heads, executed by the reference implementation.
 * Knows who is asking only through the access rules.
 */
import { buildSchema, GraphQLError, graphql } from "graphql";
import { z } from "zod";
import { type Identity } from "./access.ts";
import { readCommits, type Signature } from "./commits.ts";
import { type Ref, type Repository } from "./repositories.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { fullName, idOfNode, nodeId } from "./rest/shapes.ts";

const schema = buildSchema(`
  scalar DateTime
  scalar GitObjectID
  scalar URI
  interface Node { id: ID! }
  interface RepositoryOwner { id: ID! login: String! }
  type User implements RepositoryOwner & Node { id: ID! login: String! }
  type Organization implements RepositoryOwner & Node { id: ID! login: String! }
  interface GitObject { id: ID! oid: GitObjectID! abbreviatedOid: String! }
  type Commit implements GitObject & Node {
    id: ID! oid: GitObjectID! abbreviatedOid: String!
    message: String! messageHeadline: String! committedDate: DateTime! authoredDate: DateTime!
    author: GitActor committer: GitActor
  }
  type GitActor { name: String email: String date: String user: User }
  type Tag implements GitObject & Node { id: ID! oid: GitObjectID! abbreviatedOid: String! name: String! }
  type Ref implements Node { id: ID! name: String! prefix: String! target: GitObject }
  type Repository implements Node {
    id: ID! databaseId: Int name: String! nameWithOwner: String! owner: RepositoryOwner! url: URI!
    isArchived: Boolean! isEmpty: Boolean! isPrivate: Boolean! isFork: Boolean! isDisabled: Boolean!
    pushedAt: DateTime createdAt: DateTime!
    defaultBranchRef: Ref
    ref(qualifiedName: String!): Ref
  }
  type RateLimit { limit: Int! cost: Int! remaining: Int! used: Int! resetAt: DateTime! nodeCount: Int! }
  type Query {
    rateLimit(dryRun: Boolean = false): RateLimit
    repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
    node(id: ID!): Node
    nodes(ids: [ID!]!): [Node]!
  }
`);

/** GitHub refuses larger documents; this also bounds what one request can cost. */
const queryMaxBytes = 256 * 1024;
const nodesMax = 100;

export const graphqlRequestSchema = z.object({
  query: z.string().max(queryMaxBytes),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().nullish(),
});
type GraphqlRequest = z.infer<typeof graphqlRequestSchema>;

interface GraphqlAllowance {
  limit: number;
  remaining: number;
  used: number;
  resetAt: number;
}

const notFound = (message: string) => new GraphQLError(message, { extensions: { type: "NOT_FOUND" } });

export function createGraphql(ports: ApiPorts) {
  const actorOf = (signature: Signature | undefined) => {
    if (!signature) return null;
    const account = ports.repositories.accountOfEmail(signature.email);
    const user = account ? { __typename: "User", id: nodeId("U", account.id), login: account.login } : null;
    return { ...signature, user };
  };
  const targetShape = (repository: Repository, name: string, ref: Ref) => {
    let reading: ReturnType<typeof readCommits> | undefined;
    const commit = async () => {
      reading ??= readCommits(ports.git, ports.repositories.gitDir(repository), ["-1", ref.sha]);
      return (await reading)[0];
    };
    return {
      __typename: ref.type === "tag" ? "Tag" : "Commit",
      id: `${ref.type === "tag" ? "TA" : "C"}_${Buffer.from(ref.sha, "hex").toString("base64url")}`,
      oid: ref.sha,
      abbreviatedOid: ref.sha.slice(0, 7),
      name,
      message: async () => (await commit())?.message,
      messageHeadline: async () => (await commit())?.message.split("\n")[0],
      committedDate: async () => (await commit())?.committer.date,
      authoredDate: async () => (await commit())?.author.date,
      author: async () => actorOf((await commit())?.author),
      committer: async () => actorOf((await commit())?.committer),
    };
  };
  const repositoryNode = (identity: Identity, repository: Repository) => {
    const find = async (qualified: string) => {
      if (ports.access.mayRead(identity, repository, "contents") !== "yes") {
        throw new GraphQLError("Resource not accessible by integration", { extensions: { type: "FORBIDDEN" } });
      }
      const refs = await ports.repositories.refs(repository);
      const candidates = qualified.startsWith("refs/")
        ? [qualified]
        : [`refs/${qualified}`, `refs/heads/${qualified}`, `refs/tags/${qualified}`];
      const full = candidates.find((candidate) => refs.has(candidate));
      const ref = full === undefined ? undefined : refs.get(full);
      if (full === undefined || ref === undefined) return null;
      const [, prefix = "", name = ""] = /^(refs\/[^/]+\/)(.+)$/.exec(full) ?? [];
      const id = `REF_${Buffer.from(`${repository.id}:${full}`).toString("base64url")}`;
      return { __typename: "Ref", id, name, prefix, target: targetShape(repository, name, ref) };
    };
    return {
      __typename: "Repository",
      id: nodeId("R", repository.id),
      databaseId: repository.id,
      name: repository.name,
      nameWithOwner: fullName(repository),
      owner: {
        __typename: repository.owner.type,
        id: nodeId(repository.owner.type === "User" ? "U" : "O", repository.owner.id),
        login: repository.owner.login,
      },
      url: `${ports.url()}/${fullName(repository)}`,
      isArchived: repository.archived,
      isPrivate: repository.private,
      isFork: false,
      isDisabled: false,
      isEmpty: async () => ![...(await ports.repositories.refs(repository)).keys()].some((ref) => ref.startsWith("refs/heads/")),
      pushedAt: new Date(repository.pushedAt).toISOString(),
      createdAt: new Date(repository.createdAt).toISOString(),
      defaultBranchRef: () => find(`refs/heads/${repository.defaultBranch}`),
      ref: ({ qualifiedName }: { qualifiedName: string }) => find(qualifiedName),
    };
  };

  /** Executes one request. The answer is the JSON body, sent under status 200 as GitHub does even for errors in the query. */
  return async function execute(request: GraphqlRequest, identity: Identity, allowance: GraphqlAllowance): Promise<object> {
    let nodeCount = 0;
    const visible = (repository: Repository | null | undefined) =>
      repository && ports.access.mayRead(identity, repository, "metadata") === "yes" ? repository : null;
    const nodeOf = (id: string) => {
      nodeCount++;
      const number = idOfNode("R", id);
      const repository = visible(ports.repositories.list().find((entry) => entry.id === number));
      if (repository === null) throw notFound(`Could not resolve to a node with the global id of '${id}'`);
      return repositoryNode(identity, repository);
    };
    const rootValue = {
      rateLimit: () => ({
        limit: allowance.limit,
        cost: 1,
        remaining: allowance.remaining,
        used: allowance.used,
        resetAt: new Date(allowance.resetAt).toISOString(),
        nodeCount,
      }),
      repository({ owner, name, followRenames }: { owner: string; name: string; followRenames: boolean }) {
        nodeCount++;
        const moved = followRenames ? ports.repositories.findMoved(owner, name) : null;
        const repository = visible(ports.repositories.find(owner, name) ?? moved);
        if (repository === null) throw notFound(`Could not resolve to a Repository with the name '${owner}/${name}'.`);
        return repositoryNode(identity, repository);
      },
      node: ({ id }: { id: string }) => nodeOf(id),
      nodes({ ids }: { ids: string[] }) {
        if (ids.length > nodesMax) {
          const message = `You may not provide more than ${nodesMax} node ids; you provided ${ids.length}.`;
          throw new GraphQLError(message, { extensions: { type: "ARGUMENT_LIMIT" } });
        }
        // A null in the list has its own error, as on GitHub; a resolver per entry gives graphql the path of each.
        return ids.map(async (id) => nodeOf(id));
      },
    };
    const result = await graphql({
      schema,
      source: request.query,
      rootValue,
      variableValues: request.variables ?? null,
      operationName: request.operationName ?? null,
    });
    const errors = result.errors?.map((error) => {
      const { message, path, locations, extensions } = error.toJSON();
      const type = typeof extensions?.type === "string" ? { type: extensions.type } : {};
      return { ...type, ...(path ? { path } : {}), ...(locations ? { locations } : {}), message };
    });
    return { ...(result.data === undefined ? {} : { data: result.data }), ...(errors ? { errors } : {}) };
  };
}
