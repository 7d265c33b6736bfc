ALTER TABLE `builds` ADD `commit_info` text;--> statement-breakpoint
ALTER TABLE `head_sightings` ADD `commit_info` text;--> statement-breakpoint
ALTER TABLE `installations` ADD `rest_remaining` integer;--> statement-breakpoint
ALTER TABLE `installations` ADD `rest_limit` integer;--> statement-breakpoint
ALTER TABLE `installations` ADD `rest_reset_at` integer;