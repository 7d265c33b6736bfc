/** The tables of D1: what lists and other objects read. Repositories are written by the sync, everything else by the object that owns it. */
import { type Failure, type PhaseRecord } from "@open-inspect/protocol";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What GitHub says of a repository. Key: the image scope, so names are lower-cased there and as GitHub writes them in the columns. */
export const repositories = sqliteTable("repositories", {
  scope: text("scope").primaryKey(),
  owner: text("owner").notNull(),
  name: text("name").notNull(),
  defaultBranch: text("default_branch"),
  private: integer("private", { mode: "boolean" }).notNull(),
  cloneUrl: text("clone_url").notNull(),
  installationId: integer("installation_id").notNull(),
  syncedAt: integer("synced_at").notNull(),
  /** when GitHub stopped listing it; it is served no longer but its settings stay */
  goneAt: integer("gone_at"),
});

/** The settings and the active image of a scope. Written by its ImageObject alone. */
export const imageScopes = sqliteTable("image_scopes", {
  scope: text("scope").primaryKey(),
  enabled: integer("enabled", { mode: "boolean" }).notNull(),
  activeImageId: text("active_image_id"),
  /** order of the build that made the active image */
  activeOrder: integer("active_order"),
  latestBuildId: text("latest_build_id"),
  lastCheckAt: integer("last_check_at"),
  lastCheckSha: text("last_check_sha"),
  lastCheckOutcome: text("last_check_outcome", { enum: ["unchanged", "moved", "retried", "building", "unavailable"] }),
});

export const builds = sqliteTable(
  "builds",
  {
    id: text("id").primaryKey(),
    scope: text("scope").notNull(),
    owner: text("owner").notNull(),
    name: text("name").notNull(),
    trigger: text("trigger", { enum: ["enable", "schedule", "push", "refresh"] }).notNull(),
    status: text("status", {
      enum: ["queued", "provisioning", "running", "snapshotting", "ready", "failed", "cancelled", "superseded", "skipped"],
    }).notNull(),
    phase: text("phase", { enum: ["sandbox", "connect", "clone", "sync", "setup", "start", "agent", "snapshot"] }),
    branch: text("branch"),
    sha: text("sha"),
    phases: text("phases", { mode: "json" }).$type<PhaseRecord[]>().notNull(),
    requestedAt: integer("requested_at").notNull(),
    startedAt: integer("started_at"),
    finishedAt: integer("finished_at"),
    durationMs: integer("duration_ms"),
    failure: text("failure", { mode: "json" }).$type<Failure>(),
    imageId: text("image_id"),
  },
  (table) => [index("builds_by_scope").on(table.scope, table.requestedAt)],
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
    status: text("status", { enum: ["created", "starting", "ready", "stopping", "stopped", "failed"] }).notNull(),
    createdAt: integer("created_at").notNull(),
    readyAt: integer("ready_at"),
    endedAt: integer("ended_at"),
    startMs: integer("start_ms"),
    /** what its start says about cold starts; null when it started from an image */
    coldMs: integer("cold_ms"),
    startedFrom: text("started_from", { enum: ["image", "base"] }),
    title: text("title").notNull(),
  },
  (table) => [index("sessions_by_time").on(table.createdAt), index("sessions_by_scope").on(table.scope, table.readyAt)],
);

/** Webhook deliveries that were accepted: GitHub may send one twice. */
export const webhookDeliveries = sqliteTable("webhook_deliveries", {
  id: text("id").primaryKey(),
  receivedAt: integer("received_at").notNull(),
});
