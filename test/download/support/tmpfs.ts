import { execFileSync } from "node:child_process";

/** Mounts a small file system of its own size on a folder; undefined where this is not allowed. Answers how to take it away. */
export function mountTmpfs(directory: string, options: string): (() => void) | undefined {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return () => {
    execFileSync("umount", ["--lazy", directory], { stdio: "ignore" });
  };
}
