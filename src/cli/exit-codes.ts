/** What the program's exit code says to a script. */
export const EXIT = {
  ok: 0,
  /** It did not work: the service refused, a download failed, health is not SERVING. */
  failure: 1,
  /** The command line, the configuration or a value in it breaks a rule. */
  usage: 2,
  /** There is no such model, version, download, worker or source. */
  notFound: 3,
  /** Nobody answers at the service's address. */
  unreachable: 4,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** One of {@link EXIT}. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
