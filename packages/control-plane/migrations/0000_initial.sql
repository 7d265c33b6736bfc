CREATE TABLE `builds` (
	`id` text PRIMARY KEY NOT NULL,
	`scope` text NOT NULL,
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`trigger` text NOT NULL,
	`status` text NOT NULL,
	`phase` text,
	`branch` text,
	`sha` text,
	`phases` text NOT NULL,
	`requested_at` integer NOT NULL,
	`started_at` integer,
	`finished_at` integer,
	`duration_ms` integer,
	`failure` text,
	`image_id` text
);
--> statement-breakpoint
CREATE INDEX `builds_by_scope` ON `builds` (`scope`,`requested_at`);--> statement-breakpoint
CREATE TABLE `image_scopes` (
	`scope` text PRIMARY KEY NOT NULL,
	`enabled` integer NOT NULL,
	`active_image_id` text,
	`active_order` integer,
	`latest_build_id` text,
	`last_check_at` integer,
	`last_check_sha` text,
	`last_check_outcome` text
);
--> statement-breakpoint
CREATE TABLE `images` (
	`id` text PRIMARY KEY NOT NULL,
	`scope` text NOT NULL,
	`build_id` text NOT NULL,
	`build_order` integer NOT NULL,
	`provider_image_id` text NOT NULL,
	`sha` text NOT NULL,
	`branch` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`build_ms` integer NOT NULL,
	`runtime_version` text NOT NULL,
	`bridge_protocol` integer NOT NULL,
	`retired_at` integer,
	`retired_cause` text,
	`deleted_at` integer
);
--> statement-breakpoint
CREATE INDEX `images_by_scope` ON `images` (`scope`,`created_at`);--> statement-breakpoint
CREATE TABLE `repositories` (
	`scope` text PRIMARY KEY NOT NULL,
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`default_branch` text,
	`private` integer NOT NULL,
	`clone_url` text NOT NULL,
	`installation_id` integer NOT NULL,
	`synced_at` integer NOT NULL,
	`gone_at` integer
);
--> statement-breakpoint
CREATE TABLE `sessions` (
	`id` text PRIMARY KEY NOT NULL,
	`scope` text NOT NULL,
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`branch` text NOT NULL,
	`status` text NOT NULL,
	`created_at` integer NOT NULL,
	`ready_at` integer,
	`ended_at` integer,
	`start_ms` integer,
	`started_from` text,
	`title` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sessions_by_time` ON `sessions` (`created_at`);--> statement-breakpoint
CREATE INDEX `sessions_by_scope` ON `sessions` (`scope`,`ready_at`);--> statement-breakpoint
CREATE TABLE `webhook_deliveries` (
	`id` text PRIMARY KEY NOT NULL,
	`received_at` integer NOT NULL
);
