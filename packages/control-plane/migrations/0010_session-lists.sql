CREATE INDEX `sessions_by_status` ON `sessions` (`status`,`created_at`);--> statement-breakpoint
CREATE INDEX `sessions_by_author` ON `sessions` (`author_name`,`created_at`);--> statement-breakpoint
CREATE INDEX `sessions_live` ON `sessions` (`created_at`) WHERE "sessions"."ended_at" is null;--> statement-breakpoint
CREATE INDEX `sessions_archived` ON `sessions` (`created_at`) WHERE "sessions"."archived_at" is not null;--> statement-breakpoint
CREATE INDEX `sessions_reserved` ON `sessions` (`ended_at`) WHERE "sessions"."is_reserved" = 1;