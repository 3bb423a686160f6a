CREATE TABLE "blobs" (
	"digest" text PRIMARY KEY NOT NULL,
	"size" bigint NOT NULL,
	"state" text NOT NULL,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"released_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"verified_time" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "blob_references" (
	"download_id" uuid NOT NULL,
	"digest" text NOT NULL,
	CONSTRAINT "blob_references_download_id_digest_pk" PRIMARY KEY("download_id","digest")
);
--> statement-breakpoint
CREATE UNLOGGED TABLE "download_progress" (
	"download_id" uuid PRIMARY KEY NOT NULL,
	"counters" jsonb NOT NULL,
	"files" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "downloads" (
	"id" uuid PRIMARY KEY NOT NULL,
	"model_id" text collate "C" NOT NULL,
	"identity" text NOT NULL,
	"revision" text NOT NULL,
	"allow_patterns" jsonb NOT NULL,
	"ignore_patterns" jsonb NOT NULL,
	"credential" text DEFAULT '' NOT NULL,
	"with_token" boolean DEFAULT false NOT NULL,
	"state" text NOT NULL,
	"priority" integer NOT NULL,
	"rate_limit" bigint,
	"resolved_revision" text DEFAULT '' NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"counters" jsonb NOT NULL,
	"version" integer,
	"repairs_version" integer,
	"content_bytes" bigint DEFAULT 0 NOT NULL,
	"error" jsonb,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"owner" text,
	"lease_expire_time" timestamp (3) with time zone,
	"fruitless_claims" integer DEFAULT 0 NOT NULL,
	"claim_bytes" bigint DEFAULT 0 NOT NULL,
	"parked_bytes" bigint,
	"parked_until" timestamp (3) with time zone,
	"parkings" integer DEFAULT 0 NOT NULL,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"end_time" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "event_counter" (
	"single" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"sequence" bigint NOT NULL,
	CONSTRAINT "event_counter_single" CHECK ("event_counter"."single")
);
--> statement-breakpoint
CREATE TABLE "events" (
	"sequence" bigint PRIMARY KEY NOT NULL,
	"time" timestamp (3) with time zone NOT NULL,
	"kind" text NOT NULL,
	"noun" text NOT NULL,
	"resource" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "aliases" (
	"model_id" text collate "C" NOT NULL,
	"alias" text collate "C" NOT NULL,
	"version" integer NOT NULL,
	"update_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "aliases_model_id_alias_pk" PRIMARY KEY("model_id","alias")
);
--> statement-breakpoint
CREATE TABLE "create_requests" (
	"request_id" text PRIMARY KEY NOT NULL,
	"request_hash" text NOT NULL,
	"answer" jsonb,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "models" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"type" text NOT NULL,
	"display_name" text NOT NULL,
	"description" text NOT NULL,
	"labels" jsonb NOT NULL,
	"base_model_id" text collate "C" NOT NULL,
	"source" jsonb NOT NULL,
	"status" text NOT NULL,
	"last_version" integer DEFAULT 0 NOT NULL,
	"revision" bigint DEFAULT 1 NOT NULL,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "version_files" (
	"model_id" text collate "C" NOT NULL,
	"version" integer NOT NULL,
	"path" text collate "C" NOT NULL,
	"size" bigint NOT NULL,
	"digest" text NOT NULL,
	CONSTRAINT "version_files_model_id_version_path_pk" PRIMARY KEY("model_id","version","path")
);
--> statement-breakpoint
CREATE TABLE "versions" (
	"model_id" text collate "C" NOT NULL,
	"version" integer NOT NULL,
	"manifest_digest" text NOT NULL,
	"resolved_revision" text NOT NULL,
	"total_bytes" bigint NOT NULL,
	"file_count" integer NOT NULL,
	"metadata" jsonb NOT NULL,
	"license" text NOT NULL,
	"pinned" boolean DEFAULT false NOT NULL,
	"labels" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"revision" bigint DEFAULT 1 NOT NULL,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"damaged_files" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"last_used_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "versions_model_id_version_pk" PRIMARY KEY("model_id","version")
);
--> statement-breakpoint
CREATE TABLE "singletons" (
	"name" text PRIMARY KEY NOT NULL,
	"owner" text NOT NULL,
	"lease_expire_time" timestamp (3) with time zone NOT NULL,
	"last_run_time" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "assignments" (
	"id" uuid PRIMARY KEY NOT NULL,
	"worker_id" text collate "C" NOT NULL,
	"model_id" text collate "C" NOT NULL,
	"version" integer NOT NULL,
	"target" text NOT NULL,
	"launch" jsonb NOT NULL,
	"deployment_id" text collate "C" DEFAULT '' NOT NULL,
	"state" text DEFAULT 'PENDING' NOT NULL,
	"message" text DEFAULT '' NOT NULL,
	"address" text DEFAULT '' NOT NULL,
	"gpu_indices" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"local_path" text DEFAULT '' NOT NULL,
	"completed_bytes" bigint DEFAULT 0 NOT NULL,
	"total_bytes" bigint,
	"reported" boolean DEFAULT false NOT NULL,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "worker_presence" (
	"worker_id" text collate "C" PRIMARY KEY NOT NULL,
	"session_hash" text NOT NULL,
	"last_seen_time" timestamp (3) with time zone NOT NULL,
	"lease_expire_time" timestamp (3) with time zone NOT NULL,
	"expired" boolean DEFAULT false NOT NULL,
	"load" jsonb
);
--> statement-breakpoint
CREATE TABLE "workers" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"address" text NOT NULL,
	"labels" jsonb NOT NULL,
	"capacity" jsonb NOT NULL,
	"status" text NOT NULL,
	"cordoned" boolean DEFAULT false NOT NULL,
	"draining" boolean DEFAULT false NOT NULL,
	"revision" bigint DEFAULT 1 NOT NULL,
	"create_time" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"update_time" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "unpacked_files" (
	"archive" text NOT NULL,
	"path" text collate "C" NOT NULL,
	"digest" text NOT NULL,
	"file_count" integer NOT NULL,
	CONSTRAINT "unpacked_files_archive_path_pk" PRIMARY KEY("archive","path")
);
--> statement-breakpoint
ALTER TABLE "blob_references" ADD CONSTRAINT "blob_references_download_id_downloads_id_fk" FOREIGN KEY ("download_id") REFERENCES "public"."downloads"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "blob_references" ADD CONSTRAINT "blob_references_digest_blobs_digest_fk" FOREIGN KEY ("digest") REFERENCES "public"."blobs"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "download_progress" ADD CONSTRAINT "download_progress_download_id_downloads_id_fk" FOREIGN KEY ("download_id") REFERENCES "public"."downloads"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "downloads" ADD CONSTRAINT "downloads_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_version" FOREIGN KEY ("model_id","version") REFERENCES "public"."versions"("model_id","version") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "version_files" ADD CONSTRAINT "version_files_digest_blobs_digest_fk" FOREIGN KEY ("digest") REFERENCES "public"."blobs"("digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "version_files" ADD CONSTRAINT "version_files_version" FOREIGN KEY ("model_id","version") REFERENCES "public"."versions"("model_id","version") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "versions" ADD CONSTRAINT "versions_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "public"."models"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "assignments" ADD CONSTRAINT "assignments_worker_id_workers_id_fk" FOREIGN KEY ("worker_id") REFERENCES "public"."workers"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "assignments" ADD CONSTRAINT "assignments_version" FOREIGN KEY ("model_id","version") REFERENCES "public"."versions"("model_id","version") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "worker_presence" ADD CONSTRAINT "worker_presence_worker_id_workers_id_fk" FOREIGN KEY ("worker_id") REFERENCES "public"."workers"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "unpacked_files" ADD CONSTRAINT "unpacked_files_digest_blobs_digest_fk" FOREIGN KEY ("digest") REFERENCES "public"."blobs"("digest") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "blobs_by_verified_time" ON "blobs" USING btree ("verified_time" NULLS FIRST,"digest");--> statement-breakpoint
CREATE INDEX "blob_references_by_digest" ON "blob_references" USING btree ("digest");--> statement-breakpoint
CREATE UNIQUE INDEX "downloads_live_identity" ON "downloads" USING btree ("model_id","identity") WHERE "downloads"."state" in ('QUEUED', 'RESOLVING', 'TRANSFERRING', 'VERIFYING', 'PAUSED');--> statement-breakpoint
CREATE INDEX "downloads_by_create_time" ON "downloads" USING btree ("create_time","id");--> statement-breakpoint
CREATE INDEX "downloads_by_model" ON "downloads" USING btree ("model_id");--> statement-breakpoint
CREATE INDEX "downloads_by_model_ignoring_case" ON "downloads" USING btree (lower("model_id"),"create_time","id");--> statement-breakpoint
CREATE INDEX "downloads_to_claim" ON "downloads" USING btree ("priority" DESC NULLS FIRST,"create_time","id") WHERE "downloads"."state" in ('QUEUED', 'RESOLVING', 'TRANSFERRING', 'VERIFYING', 'PAUSED');--> statement-breakpoint
CREATE INDEX "events_of_roots" ON "events" USING btree ("noun",(resource ->> 'id'),"sequence") WHERE noun in ('model', 'worker');--> statement-breakpoint
CREATE UNIQUE INDEX "aliases_ignoring_case" ON "aliases" USING btree ("model_id",lower("alias"));--> statement-breakpoint
CREATE INDEX "aliases_by_version" ON "aliases" USING btree ("model_id","version");--> statement-breakpoint
CREATE INDEX "create_requests_by_create_time" ON "create_requests" USING btree ("create_time");--> statement-breakpoint
CREATE UNIQUE INDEX "models_id_ignoring_case" ON "models" USING btree (lower("id"));--> statement-breakpoint
CREATE INDEX "models_by_create_time" ON "models" USING btree ("create_time","id");--> statement-breakpoint
CREATE INDEX "models_by_update_time" ON "models" USING btree ("update_time","id");--> statement-breakpoint
CREATE INDEX "models_by_labels" ON "models" USING gin ("labels");--> statement-breakpoint
CREATE INDEX "version_files_by_digest" ON "version_files" USING btree ("digest");--> statement-breakpoint
CREATE UNIQUE INDEX "versions_manifest" ON "versions" USING btree ("model_id","manifest_digest");--> statement-breakpoint
CREATE INDEX "versions_damaged" ON "versions" USING btree ("model_id","version") WHERE "versions"."damaged_files" <> '[]';--> statement-breakpoint
CREATE UNIQUE INDEX "assignments_worker_version" ON "assignments" USING btree ("worker_id","model_id","version");--> statement-breakpoint
CREATE INDEX "assignments_by_version" ON "assignments" USING btree ("model_id","version");--> statement-breakpoint
CREATE UNIQUE INDEX "workers_id_ignoring_case" ON "workers" USING btree (lower("id"));--> statement-breakpoint
CREATE INDEX "workers_by_labels" ON "workers" USING gin ("labels");--> statement-breakpoint
CREATE INDEX "unpacked_files_by_digest" ON "unpacked_files" USING btree ("digest");--> statement-breakpoint
INSERT INTO "event_counter" ("sequence") VALUES (0);
