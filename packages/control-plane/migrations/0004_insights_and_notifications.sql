CREATE TABLE `notification_deliveries` (
	`notification_id` text NOT NULL,
	`target` text NOT NULL,
	`at` integer NOT NULL,
	`outcome` text NOT NULL,
	`cause` text,
	PRIMARY KEY(`notification_id`, `target`)
);
--> statement-breakpoint
CREATE INDEX `deliveries_by_time` ON `notification_deliveries` (`at`);--> statement-breakpoint
CREATE TABLE `notification_targets` (
	`name` text PRIMARY KEY NOT NULL,
	`format` text NOT NULL,
	`shown_url` text NOT NULL,
	`sealed_url` text NOT NULL,
	`sealed_secret` text,
	`created_at` integer NOT NULL,
	`created_by` text NOT NULL
);
--> statement-breakpoint
ALTER TABLE `sessions` ADD `at_head` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `saved_ms` integer;--> statement-breakpoint
CREATE INDEX `sessions_by_scope_time` ON `sessions` (`scope`,`created_at`);--> statement-breakpoint
CREATE INDEX `sessions_by_image` ON `sessions` (`image_id`,`ended_at`);--> statement-breakpoint
CREATE INDEX `builds_by_time` ON `builds` (`requested_at`);