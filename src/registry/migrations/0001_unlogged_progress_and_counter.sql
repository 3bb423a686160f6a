ALTER TABLE "download_progress" SET UNLOGGED;--> statement-breakpoint
INSERT INTO "event_counter" ("sequence") VALUES (0);
