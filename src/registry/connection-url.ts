/** A URL that the driver understands, and what of the original one it does not. */
export interface DriverTarget {
  readonly url: string;
  /** A host's name or the folder of a unix socket; the driver takes the URL's own if absent. */
  readonly host?: string;
  readonly port?: number;
}

const PARTS = /^(?<before>postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)(?<host>[^:/?#]*)(?::(?<port>\d+))?(?<after>[/?].*)?$/i;

/**
 * Takes the host out of a `postgres://` URL where libpq's forms of it are not the driver's: `…@/db?host=/run/postgresql`
 * and `…@%2Frun%2Fpostgresql/db`, by which a unix socket is named.
 */
export function toDriverTarget(url: string): DriverTarget {
  const { before, host = "", port, after = "" } = PARTS.exec(url)?.groups ?? {};
  if (before === undefined) return { url };
  // The place of the host must not be empty beside a user.
  const parsed = new URL(`${before}localhost${after}`);
  const told = parsed.searchParams.get("host") ?? decodeURIComponent(host);
  if (told === host) return { url };
  const toldPort = parsed.searchParams.get("port") ?? port;
  // What is left in the query is handed to the server as settings.
  parsed.searchParams.delete("host");
  parsed.searchParams.delete("port");
  return { url: parsed.href, host: told, ...(toldPort && { port: Number(toldPort) }) };
}
