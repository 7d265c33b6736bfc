CREATE TABLE `session_settings` (
	`scope` text PRIMARY KEY NOT NULL,
	`settings` text NOT NULL
);
--> statement-breakpoint
ALTER TABLE `sessions` ADD `version` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `sessions` ADD `is_working` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `sessions` ADD `active_at` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `sessions` ADD `author` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `author_name` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `usage` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `prompt_count` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `sessions` ADD `first_prompt` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `pull_request` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `pull_request_key` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `parent_id` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `archived_at` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `is_reserved` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `sessions_by_parent` ON `sessions` (`parent_id`);--> statement-breakpoint
CREATE INDEX `sessions_by_pull_request` ON `sessions` (`pull_request_key`);--> statement-breakpoint
UPDATE `sessions` SET `status` = 'syncing' WHERE `status` = 'starting';--> statement-breakpoint
UPDATE `sessions` SET `active_at` = coalesce(`ready_at`, `created_at`);
