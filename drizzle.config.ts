import { defineConfig } from "drizzle-kit";

/** For `npx drizzle-kit generate`, which writes a migration for what changed in the schema; none talks to a database. */
export default defineConfig({
  dialect: "postgresql",
  schema: "./src/registry/schema/*.ts",
  out: "./src/registry/migrations",
});
