CREATE TABLE `head_checks` (
	`scope` text PRIMARY KEY NOT NULL,
	`at` integer NOT NULL,
	`sha` text,
	`outcome` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `head_sightings` (
	`scope` text NOT NULL,
	`sha` text NOT NULL,
	`pushed_at` integer,
	`push_at` integer,
	`tick_at` integer,
	`person_at` integer,
	`first_by` text NOT NULL,
	`first_at` integer NOT NULL,
	PRIMARY KEY(`scope`, `sha`)
);
--> statement-breakpoint
CREATE INDEX `sightings_by_time` ON `head_sightings` (`first_at`);--> statement-breakpoint
CREATE TABLE `installations` (
	`id` integer PRIMARY KEY NOT NULL,
	`rate_remaining` integer,
	`rate_limit` integer,
	`rate_reset_at` integer,
	`blocked_until` integer,
	`lost_at` integer
);
--> statement-breakpoint
CREATE TABLE `skipped_checks` (
	`id` text PRIMARY KEY NOT NULL,
	`scope` text NOT NULL,
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`reason` text NOT NULL,
	`branch` text,
	`sha` text,
	`from_sha` text,
	`count` integer NOT NULL,
	`first_at` integer NOT NULL,
	`last_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `skipped_by_scope` ON `skipped_checks` (`scope`,`last_at`);--> statement-breakpoint
CREATE TABLE `strays` (
	`sandbox_id` text PRIMARY KEY NOT NULL,
	`first_seen_at` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `builds` ADD `requested_by` text;--> statement-breakpoint
ALTER TABLE `builds` ADD `from_sha` text;--> statement-breakpoint
ALTER TABLE `builds` ADD `mode` text;--> statement-breakpoint
ALTER TABLE `builds` ADD `mode_reason` text;--> statement-breakpoint
ALTER TABLE `builds` ADD `try_number` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE `builds` ADD `inputs` text;--> statement-breakpoint
ALTER TABLE `builds` ADD `size_bytes` integer;--> statement-breakpoint
ALTER TABLE `builds` ADD `skipped` text;--> statement-breakpoint
ALTER TABLE `image_scopes` ADD `settings` text;--> statement-breakpoint
ALTER TABLE `image_scopes` ADD `failing` text;--> statement-breakpoint
ALTER TABLE `image_scopes` ADD `pin` text;--> statement-breakpoint
ALTER TABLE `images` ADD `runtime_revision` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE `images` ADD `mode` text DEFAULT 'full' NOT NULL;--> statement-breakpoint
ALTER TABLE `images` ADD `mode_reason` text DEFAULT 'first_image' NOT NULL;--> statement-breakpoint
ALTER TABLE `images` ADD `chain_depth` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `images` ADD `full_at` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `images` ADD `inputs` text;--> statement-breakpoint
ALTER TABLE `images` ADD `ignore_paths` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `images` ADD `size_bytes` integer;--> statement-breakpoint
ALTER TABLE `repositories` ADD `archived` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `sessions` ADD `image_id` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `cold_reason` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `behind_commits` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `behind_oldest_at` integer;