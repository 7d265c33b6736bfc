/** What the control plane needs of the world, as small interfaces. Adapters implement them; the domain owns them. */
import {
  type BranchList,
  type CommitInfo,
  type CreateSandboxRequest,
  type CreateSandboxResponse,
  type GatewayErrorKind,
  type GatewayHealth,
  type PullRequest,
  type RepositoryRef,
  type RuntimeConfig,
  type SandboxList,
  type SandboxLogs,
  type SandboxStatus,
  type SnapshotRequest,
  type SnapshotResponse,
  type StartSandboxResponse,
} from "@open-inspect/protocol";
import { type Allowance } from "./allowance.ts";

/** An expected answer or the world's failure as data. */
export type Result<T, E> = { ok: true; value: T } | { ok: false; error: E };

/** A gateway failure, classified once. A `transient` one may have had its effect although no answer came. */
export interface GatewayFailure {
  kind: GatewayErrorKind;
  code: string;
  message: string;
  hint: string;
  /** the end of what was printed before it, where there is such output */
  lines?: readonly string[] | undefined;
}
export type GatewayResult<T> = Promise<Result<T, GatewayFailure>>;

/** The data plane behind its gateway. Every call has a deadline of its own and never throws for the world's failures. */
export interface DataPlane {
  createSandbox(name: string, request: CreateSandboxRequest): GatewayResult<CreateSandboxResponse>;
  startSandbox(sandboxId: string, config: RuntimeConfig): GatewayResult<StartSandboxResponse>;
  /** `withRuntime`: also look into the sandbox for its runtime, which costs a command there */
  sandboxStatus(sandboxId: string, withRuntime: boolean): GatewayResult<SandboxStatus>;
  sandboxLogs(sandboxId: string, offset: number): GatewayResult<SandboxLogs>;
  snapshotSandbox(sandboxId: string, request: SnapshotRequest): GatewayResult<SnapshotResponse>;
  terminateSandbox(sandboxId: string): GatewayResult<void>;
  listSandboxes(tags: Record<string, string>): GatewayResult<SandboxList>;
  deleteImage(providerImageId: string): GatewayResult<void>;
  health(): GatewayResult<GatewayHealth>;
}

/** A repository as GitHub describes it. */
export interface KnownRepository {
  owner: string;
  name: string;
  /** null while the repository has no branch */
  defaultBranch: string | null;
  private: boolean;
  cloneUrl: string;
  installationId: number;
  archived: boolean;
  /** GitHub's number of it, which it keeps when it is renamed or moved */
  githubId: number;
}

/** Everything that the App sees. */
export interface KnownRepositories {
  repositories: KnownRepository[];
  /** the installations that are there and not suspended */
  installationIds: number[];
}

/** A GitHub failure, classified once. */
export interface GitHubFailure {
  /** `lost`: there is no such installation any more, or it is suspended */
  kind: "not_found" | "unauthorized" | "rate_limited" | "transient" | "lost";
  message: string;
}
export type GitHubResult<T> = Promise<Result<T, GitHubFailure>>;
/** With what the answers said of the rate limit. */
export type RatedResult<T> = Promise<Result<T, GitHubFailure> & { allowance: Allowance }>;

/** The head of a default branch; null when the repository has none. */
export interface RepositoryHead {
  /** as it was asked for */
  repository: RepositoryRef;
  /** as it is called now */
  foundAs: RepositoryRef;
  defaultBranch: string | null;
  sha: string | null;
  /** of `sha`; null where it was not read */
  commit: CommitInfo | null;
  archived: boolean;
}

/** The head of one branch. */
export interface FoundHead {
  sha: string;
  /** null where it was not read, as for a head that was known already */
  commit: CommitInfo | null;
}

export interface FoundHeads {
  heads: RepositoryHead[];
  /** GitHub says that there is no such repository, or that the installation may not see it */
  gone: RepositoryRef[];
}

/** What lies between two commits. */
export interface Comparison {
  /** the base is an ancestor of the head */
  isAhead: boolean;
  /** paths that differ, old names of renamed files included; null when there are more than GitHub lists */
  paths: string[] | null;
}

/** The repositories of an installation to compare, in the order of their scopes. */
export interface HeadCheckMessage {
  installationId: number;
  /** begins behind this scope; empty for the first */
  after: string;
  /** when the tick began, milliseconds since the epoch */
  tickAt: number;
}

/** A pull request to be opened, or taken up where one of this head is open already. */
export interface PullAsk {
  base: string;
  head: string;
  title: string;
  body: string;
  draft: boolean;
  /** what replaces the title or body of one that is open already */
  changes: { title?: string; body?: string };
}
/** A pull request as GitHub says it is, and when that became so by GitHub's clock. */
export interface PullFound {
  pullRequest: PullRequest;
  updatedAt: number;
  /** login of the person who opened it; null for an App, absent where GitHub does not say */
  author?: string | null;
}
/** `nothing`: the head has no commit that the base does not have. */
export interface PullRefused {
  refused: "nothing" | "other";
  message: string;
}

export interface GitHub {
  /** Every repository of every installation. */
  listRepositories(): GitHubResult<KnownRepositories>;
  /** The branches, the default branch first. */
  listBranches(
    repository: RepositoryRef,
    installationId: number,
    defaultBranch: string | null,
  ): GitHubResult<BranchList["branches"]>;
  branchHead(repository: RepositoryRef, installationId: number, branch: string): GitHubResult<string>;
  /** Heads of default branches in one request. A repository that is gone is left out. */
  readHeads(installationId: number, repositories: readonly RepositoryRef[]): RatedResult<RepositoryHead[]>;
  /** The same, with those that are gone. */
  checkHeads(installationId: number, repositories: readonly RepositoryRef[]): RatedResult<FoundHeads>;
  /** The head of one branch by REST. Costs nothing of the allowance while it is `known`, and two requests when it is another one. */
  headOf(installationId: number, repository: RepositoryRef, branch: string, known: string | null): RatedResult<FoundHead>;
  compare(installationId: number, repository: RepositoryRef, base: string, head: string): RatedResult<Comparison>;
  /** One repository by its name now or an earlier one. */
  findRepository(installationId: number, repository: RepositoryRef): RatedResult<KnownRepository>;
  /** A token that reads the contents of that one repository. */
  readToken(repository: RepositoryRef, installationId: number): GitHubResult<{ token: string }>;
  /** A new token that writes the contents of that one repository. */
  writeToken(repository: RepositoryRef, installationId: number): GitHubResult<{ token: string }>;
  /** Ends a token before its time. */
  endToken(token: string): GitHubResult<void>;
  /** Opens a pull request as the App; the same again finds the one that is open. */
  openPull(installationId: number, repository: RepositoryRef, ask: PullAsk): GitHubResult<PullFound | PullRefused>;
  /** The same in a person's name. @param token the person's own */
  openPullAs(token: string, repository: RepositoryRef, ask: PullAsk): GitHubResult<PullFound | PullRefused>;
  readPull(installationId: number, repository: RepositoryRef, number: number): GitHubResult<PullFound>;
  verifyWebhook(body: string, signature: string): Promise<boolean>;
  ping(): GitHubResult<void>;
}

export interface Log {
  info(event: string, fields?: Record<string, unknown>): void;
  warn(event: string, fields?: Record<string, unknown>): void;
  error(event: string, fields?: Record<string, unknown>): void;
}
