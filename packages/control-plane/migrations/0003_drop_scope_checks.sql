ALTER TABLE `image_scopes` DROP COLUMN `last_check_at`;--> statement-breakpoint
ALTER TABLE `image_scopes` DROP COLUMN `last_check_sha`;--> statement-breakpoint
ALTER TABLE `image_scopes` DROP COLUMN `last_check_outcome`;