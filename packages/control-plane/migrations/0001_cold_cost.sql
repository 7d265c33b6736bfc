ALTER TABLE `sessions` ADD `cold_ms` integer;--> statement-breakpoint
UPDATE `sessions` SET `cold_ms` = `start_ms` WHERE `started_from` = 'base';
