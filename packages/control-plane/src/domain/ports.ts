/** What the control plane needs of the world, as small interfaces. Adapters implement them; the domain owns them. */
import {
  type BranchList,
  type CreateSandboxRequest,
  type CreateSandboxResponse,
  type GatewayErrorKind,
  type GatewayHealth,
  type RepositoryRef,
  type RuntimeConfig,
  type SandboxList,
  type SandboxLogs,
  type SandboxStatus,
  type SnapshotRequest,
  type SnapshotResponse,
  type StartSandboxResponse,
} from "@open-inspect/protocol";

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
}

/** A GitHub failure, classified once. */
export interface GitHubFailure {
  kind: "not_found" | "unauthorized" | "rate_limited" | "transient";
  message: string;
}
export type GitHubResult<T> = Promise<Result<T, GitHubFailure>>;

/** The head of a default branch; null when the repository has none. */
export interface RepositoryHead {
  repository: RepositoryRef;
  defaultBranch: string | null;
  sha: string | null;
}

/** One repository to compare, as the tick hands it to the queue. */
export interface HeadCheckMessage {
  scope: string;
  owner: string;
  name: string;
  installationId: number;
  /** what was known when the message was sent */
  defaultBranch: string | null;
}

export interface GitHub {
  /** Every repository of every installation. */
  listRepositories(): GitHubResult<KnownRepository[]>;
  /** The branches, the default branch first. */
  listBranches(
    repository: RepositoryRef,
    installationId: number,
    defaultBranch: string | null,
  ): GitHubResult<BranchList["branches"]>;
  branchHead(repository: RepositoryRef, installationId: number, branch: string): GitHubResult<string>;
  /** Heads of default branches in one request. A repository that is gone is left out. */
  readHeads(installationId: number, repositories: readonly RepositoryRef[]): GitHubResult<RepositoryHead[]>;
  /** A token that reads the contents of that one repository. */
  readToken(repository: RepositoryRef, installationId: number): GitHubResult<{ token: string }>;
  verifyWebhook(body: string, signature: string): Promise<boolean>;
  ping(): GitHubResult<void>;
}

export interface Log {
  info(event: string, fields?: Record<string, unknown>): void;
  warn(event: string, fields?: Record<string, unknown>): void;
  error(event: string, fields?: Record<string, unknown>): void;
}
