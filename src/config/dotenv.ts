import { existsSync } from "node:fs";
import { resolve } from "node:path";

/**
 * In development, adds the variables of the file `.env` in the working folder to the process's environment. What is set
 * already wins; with `NODE_ENV=production`, or without the file, nothing happens.
 */
export function loadDotEnv(): void {
  if (process.env.NODE_ENV === "production") return;
  const file = resolve(".env");
  if (existsSync(file)) process.loadEnvFile(file);
}
