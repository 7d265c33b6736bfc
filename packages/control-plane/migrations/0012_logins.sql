CREATE TABLE `logins` (
	`hash` text PRIMARY KEY NOT NULL,
	`github_id` integer NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `logins_by_person` ON `logins` (`github_id`,`created_at`);--> statement-breakpoint
CREATE INDEX `logins_by_end` ON `logins` (`expires_at`);--> statement-breakpoint
CREATE TABLE `people` (
	`github_id` integer PRIMARY KEY NOT NULL,
	`login` text NOT NULL,
	`name` text,
	`avatar_url` text,
	`sealed_tokens` text NOT NULL,
	`token_ends_at` integer,
	`checked_at` integer NOT NULL,
	`busy_until` integer DEFAULT 0 NOT NULL,
	`retry_at` integer DEFAULT 0 NOT NULL
);
