/** The tables of D1: what lists and other objects read. Repositories are written by the sync, everything else by the object that owns it. */
import {
  type BuildInputs,
  buildModes,
  buildStatuses,
  buildTriggers,
  type CommitInfo,
  coldReasonCodes,
  deliveryOutcomes,
  type Failure,
  headCheckOutcomes,
  type ImageSettings,
  modeReasons,
  notificationFormats,
  type Person,
  type PhaseRecord,
  type Pin,
  type PullRequest,
  phases,
  type SessionSettings,
  sessionStatuses,
  skipReasons,
  startSources,
  type Usage,
} from "@open-inspect/protocol";
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { type FailureSeries } from "../../domain/image-scope-state.ts";

/** What GitHub says of a repository. Key: the image scope, so names are lower-cased there and as GitHub writes them in the columns. */
export const repositories = sqliteTable(
  "repositories",
  {
    scope: text("scope").primaryKey(),
    owner: text("owner").notNull(),
    name: text("name").notNull(),
    defaultBranch: text("default_branch"),
    private: integer("private", { mode: "boolean" }).notNull(),
    cloneUrl: text("clone_url").notNull(),
    installationId: integer("installation_id").notNull(),
    archived: integer("archived", { mode: "boolean" }).notNull().default(false),
    syncedAt: integer("synced_at").notNull(),
    /** when GitHub stopped listing it; it is served no longer but its settings stay */
    goneAt: integer("gone_at"),
    /** GitHub's number of it, which it keeps when it is renamed or moved; null until the list was read */
    githubId: integer("github_id"),
  },
  (table) => [index("repositories_by_installation").on(table.installationId, table.scope)],
);

/** The settings and the active image of a scope. Written by its ImageObject alone. */
export const imageScopes = sqliteTable("image_scopes", {
  scope: text("scope").primaryKey(),
  enabled: integer("enabled", { mode: "boolean" }).notNull(),
  activeImageId: text("active_image_id"),
  /** order of the build that made the active image */
  activeOrder: integer("active_order"),
  latestBuildId: text("latest_build_id"),
  settings: text("settings", { mode: "json" }).$type<ImageSettings>(),
  failing: text("failing", { mode: "json" }).$type<FailureSeries>(),
  pin: text("pin", { mode: "json" }).$type<Pin>(),
});

/** What a repository sets for its sessions. No row: the defaults. */
export const sessionSettings = sqliteTable("session_settings", {
  scope: text("scope").primaryKey(),
  settings: text("settings", { mode: "json" }).$type<SessionSettings>().notNull(),
});

/** What the scheduler saw last of each repository. Written by it alone, in one statement for many repositories. */
export const headChecks = sqliteTable("head_checks", {
  scope: text("scope").primaryKey(),
  at: integer("at").notNull(),
  sha: text("sha"),
  outcome: text("outcome", { enum: headCheckOutcomes }).notNull(),
});

/** Comparisons of heads that built nothing. One row for as long as commit, image and reason stay the same. Written by the scheduler. */
export const skippedChecks = sqliteTable(
  "skipped_checks",
  {
    /** an id of a build: lists show these rows among the builds */
    id: text("id").primaryKey(),
    scope: text("scope").notNull(),
    owner: text("owner").notNull(),
    name: text("name").notNull(),
    reason: text("reason", { enum: skipReasons }).notNull(),
    branch: text("branch"),
    /** the head that was compared */
    sha: text("sha"),
    /** the commit of the image that it was compared with */
    fromSha: text("from_sha"),
    count: integer("count").notNull(),
    firstAt: integer("first_at").notNull(),
    lastAt: integer("last_at").notNull(),
  },
  (table) => [index("skipped_by_scope").on(table.scope, table.lastAt), index("skipped_by_time").on(table.lastAt)],
);

/** Who saw each head first: the ledger of pushes, ticks and people. Times in milliseconds since the epoch. */
export const headSightings = sqliteTable(
  "head_sightings",
  {
    scope: text("scope").notNull(),
    sha: text("sha").notNull(),
    commit: text("commit_info", { mode: "json" }).$type<CommitInfo>(),
    /** when GitHub says that it was pushed or committed; null when nobody said */
    pushedAt: integer("pushed_at"),
    pushAt: integer("push_at"),
    tickAt: integer("tick_at"),
    personAt: integer("person_at"),
    firstBy: text("first_by", { enum: ["push", "tick", "person"] }).notNull(),
    firstAt: integer("first_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.scope, table.sha] }),
    index("sightings_by_time").on(table.firstAt),
    index("sightings_by_scope").on(table.scope, table.firstAt),
  ],
);

/** What GitHub said last of an installation's rate limit, and whether the installation is still there. Written by the scheduler. */
export const installations = sqliteTable("installations", {
  id: integer("id").primaryKey(),
  rateRemaining: integer("rate_remaining"),
  rateLimit: integer("rate_limit"),
  rateResetAt: integer("rate_reset_at"),
  restRemaining: integer("rest_remaining"),
  restLimit: integer("rest_limit"),
  restResetAt: integer("rest_reset_at"),
  /** nothing is asked before this moment */
  blockedUntil: integer("blocked_until"),
  /** when the repositories that were left are checked; null while none are */
  resumesAt: integer("resumes_at"),
  /** since when GitHub refuses it */
  lostAt: integer("lost_at"),
});

/** Sandboxes that the provider has and no row owns; the sweeper ends those that it sees again after a grace time. */
export const strays = sqliteTable("strays", {
  sandboxId: text("sandbox_id").primaryKey(),
  firstSeenAt: integer("first_seen_at").notNull(),
});

export const builds = sqliteTable(
  "builds",
  {
    id: text("id").primaryKey(),
    scope: text("scope").notNull(),
    owner: text("owner").notNull(),
    name: text("name").notNull(),
    trigger: text("trigger", { enum: buildTriggers }).notNull(),
    requestedBy: text("requested_by"),
    status: text("status", { enum: buildStatuses }).notNull(),
    phase: text("phase", { enum: phases }),
    branch: text("branch"),
    sha: text("sha"),
    /** what the ledger of heads knows of `sha` */
    commit: text("commit_info", { mode: "json" }).$type<CommitInfo>(),
    fromSha: text("from_sha"),
    mode: text("mode", { enum: buildModes }),
    modeReason: text("mode_reason", { enum: modeReasons }),
    tryNumber: integer("try_number").notNull().default(1),
    inputs: text("inputs", { mode: "json" }).$type<BuildInputs>(),
    sizeBytes: integer("size_bytes"),
    skipped: text("skipped", { mode: "json" }).$type<{ reason: (typeof skipReasons)[number]; count: number }>(),
    phases: text("phases", { mode: "json" }).$type<PhaseRecord[]>().notNull(),
    requestedAt: integer("requested_at").notNull(),
    startedAt: integer("started_at"),
    finishedAt: integer("finished_at"),
    durationMs: integer("duration_ms"),
    failure: text("failure", { mode: "json" }).$type<Failure>(),
    imageId: text("image_id"),
  },
  (table) => [index("builds_by_scope").on(table.scope, table.requestedAt), index("builds_by_time").on(table.requestedAt)],
);

export const images = sqliteTable(
  "images",
  {
    id: text("id").primaryKey(),
    scope: text("scope").notNull(),
    buildId: text("build_id").notNull(),
    order: integer("build_order").notNull(),
    providerImageId: text("provider_image_id").notNull(),
    sha: text("sha").notNull(),
    branch: text("branch").notNull(),
    createdAt: integer("created_at").notNull(),
    /** when the provider drops it */
    expiresAt: integer("expires_at").notNull(),
    buildMs: integer("build_ms").notNull(),
    runtimeVersion: text("runtime_version").notNull(),
    runtimeRevision: integer("runtime_revision").notNull().default(1),
    mode: text("mode", { enum: buildModes }).notNull().default("full"),
    modeReason: text("mode_reason", { enum: modeReasons }).notNull().default("first_image"),
    chainDepth: integer("chain_depth").notNull().default(0),
    fullAt: integer("full_at").notNull().default(0),
    inputs: text("inputs", { mode: "json" }).$type<BuildInputs>(),
    ignorePaths: text("ignore_paths", { mode: "json" }).$type<string[]>().notNull().default([]),
    sizeBytes: integer("size_bytes"),
    bridgeProtocol: integer("bridge_protocol").notNull(),
    retiredAt: integer("retired_at"),
    retiredCause: text("retired_cause"),
    deletedAt: integer("deleted_at"),
  },
  (table) => [index("images_by_scope").on(table.scope, table.createdAt)],
);

/** Sessions as lists show them. Written by their SessionObject alone. */
export const sessions = sqliteTable(
  "sessions",
  {
    id: text("id").primaryKey(),
    scope: text("scope").notNull(),
    owner: text("owner").notNull(),
    name: text("name").notNull(),
    branch: text("branch").notNull(),
    status: text("status", { enum: sessionStatuses }).notNull(),
    createdAt: integer("created_at").notNull(),
    readyAt: integer("ready_at"),
    endedAt: integer("ended_at"),
    startMs: integer("start_ms"),
    /** what its start says about cold starts; null when it started from an image */
    coldMs: integer("cold_ms"),
    startedFrom: text("started_from", { enum: startSources }),
    /** the image that it came from */
    imageId: text("image_id"),
    coldReason: text("cold_reason", { enum: coldReasonCodes }),
    /** how far the image was behind the branch before the sync: commits, and when the oldest of them was made */
    behindCommits: integer("behind_commits"),
    behindOldestAt: integer("behind_oldest_at"),
    /** whether the agent began on the branch's head; null until it is ready */
    atHead: integer("at_head", { mode: "boolean" }),
    /** what the image spared */
    savedMs: integer("saved_ms"),
    title: text("title").notNull(),
    /** rises with each change: a write that arrives late changes nothing */
    version: integer("version").notNull().default(0),
    isWorking: integer("is_working", { mode: "boolean" }).notNull().default(false),
    activeAt: integer("active_at").notNull().default(0),
    author: text("author", { mode: "json" }).$type<Person>(),
    /** the author's name, to be looked for */
    authorName: text("author_name"),
    usage: text("usage", { mode: "json" }).$type<Usage>(),
    promptCount: integer("prompt_count").notNull().default(0),
    /** the beginning of the first prompt, to be looked for */
    firstPrompt: text("first_prompt"),
    pullRequest: text("pull_request", { mode: "json" }).$type<PullRequest>(),
    /** `owner/name#number` in lower case, by which webhooks find it */
    pullRequestKey: text("pull_request_key"),
    parentId: text("parent_id"),
    archivedAt: integer("archived_at"),
    /** until a session claims it this is a reserved sandbox, which no list shows */
    isReserved: integer("is_reserved", { mode: "boolean" }).notNull().default(false),
  },
  (table) => [
    index("sessions_by_time").on(table.createdAt),
    index("sessions_by_scope").on(table.scope, table.readyAt),
    index("sessions_by_scope_time").on(table.scope, table.createdAt),
    index("sessions_by_image").on(table.imageId, table.endedAt),
    index("sessions_by_parent").on(table.parentId),
    index("sessions_by_status").on(table.status, table.createdAt),
    index("sessions_by_author").on(table.authorName, table.createdAt),
    index("sessions_live").on(table.createdAt).where(sql`${table.endedAt} is null`),
    index("sessions_archived").on(table.createdAt).where(sql`${table.archivedAt} is not null`),
    index("sessions_reserved").on(table.endedAt).where(sql`${table.isReserved} = 1`),
    index("sessions_by_pull_request").on(table.pullRequestKey),
  ],
);

/** Sandboxes reserved while somebody types, to count them. A row says that its session may be one, not that it is. */
export const reservations = sqliteTable(
  "reservations",
  {
    /** the session's */
    id: text("id").primaryKey(),
    person: text("person").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (table) => [index("reservations_by_end").on(table.expiresAt)],
);

/** Where failures are told. The address and the secret are sealed: either alone may be all that a stranger needs to speak there. */
export const notificationTargets = sqliteTable("notification_targets", {
  name: text("name").primaryKey(),
  format: text("format", { enum: notificationFormats }).notNull(),
  /** what of the address may be shown */
  shownUrl: text("shown_url").notNull(),
  sealedUrl: text("sealed_url").notNull(),
  sealedSecret: text("sealed_secret"),
  createdAt: integer("created_at").notNull(),
  createdBy: text("created_by").notNull(),
});

/** What became of telling one target one thing; the newest attempt. Forgotten after a while. */
export const notificationDeliveries = sqliteTable(
  "notification_deliveries",
  {
    notificationId: text("notification_id").notNull(),
    target: text("target").notNull(),
    at: integer("at").notNull(),
    outcome: text("outcome", { enum: deliveryOutcomes }).notNull(),
    /** what went wrong, null when delivered */
    cause: text("cause"),
  },
  (table) => [primaryKey({ columns: [table.notificationId, table.target] }), index("deliveries_by_time").on(table.at)],
);

/** Who is logged in with GitHub. There is a row for as long as there is a login. The tokens are sealed, with a key of this person alone. */
export const people = sqliteTable("people", {
  /** GitHub's number, which a person keeps when the login changes */
  githubId: integer("github_id").primaryKey(),
  login: text("login").notNull(),
  name: text("name"),
  avatarUrl: text("avatar_url"),
  sealedTokens: text("sealed_tokens").notNull(),
  /** when the access token ends; null: it does not */
  tokenEndsAt: integer("token_ends_at"),
  /** when GitHub said last that this person may be here */
  checkedAt: integer("checked_at").notNull(),
  /** until then one request, and no other, speaks with GitHub for this person */
  busyUntil: integer("busy_until").notNull().default(0),
  /** GitHub did not answer: it is not asked again before this moment */
  retryAt: integer("retry_at").notNull().default(0),
});

/** One browser that is logged in. Its cookie is a random number; this is the SHA-256 of it. */
export const logins = sqliteTable(
  "logins",
  {
    hash: text("hash").primaryKey(),
    githubId: integer("github_id").notNull(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (table) => [index("logins_by_person").on(table.githubId, table.createdAt), index("logins_by_end").on(table.expiresAt)],
);

/** Webhook deliveries that were accepted: GitHub may send one twice. */
export const webhookDeliveries = sqliteTable("webhook_deliveries", {
  id: text("id").primaryKey(),
  receivedAt: integer("received_at").notNull(),
});
