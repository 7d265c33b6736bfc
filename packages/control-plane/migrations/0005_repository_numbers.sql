ALTER TABLE `installations` ADD `resumes_at` integer;--> statement-breakpoint
ALTER TABLE `repositories` ADD `github_id` integer;--> statement-breakpoint
CREATE INDEX `repositories_by_installation` ON `repositories` (`installation_id`,`scope`);