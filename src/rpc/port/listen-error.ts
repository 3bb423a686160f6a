/** The port could not be opened. The message is for the operator and says what to do; `code` is the system's, or `TLS`. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: string;

  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Says in an operator's words why `host`:`port` could not be listened on. */
export function listenError(error: NodeJS.ErrnoException, host: string, port: number): ListenError {
  const code = error.code ?? "UNKNOWN";
  const at = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return new ListenError(code, `cannot listen on ${at}: ${remedy(code, error)}`, error);
}

function remedy(code: string, error: Error): string {
  switch (code) {
    case "EADDRINUSE":
      return "another program listens there; stop it, or choose another port with MODEL_MANAGER_PORT (0 takes a free one)";
    case "EACCES":
    case "EPERM":
      return "this user may not open that port; choose one from 1024 up with MODEL_MANAGER_PORT";
    case "EADDRNOTAVAIL":
      return "this machine has no such address; set MODEL_MANAGER_HOST to one it has, or to 0.0.0.0 for all of them";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name cannot be resolved; set MODEL_MANAGER_HOST to a name or address of this machine";
    default:
      return error.message;
  }
}

/** Says that the TLS files cannot be used. */
export function tlsError(error: unknown): ListenError {
  const why = error instanceof Error ? error.message : String(error);
  return new ListenError(
    "TLS",
    `cannot use the TLS certificate, key or client CA (${why}); MODEL_MANAGER_TLS_CERT and MODEL_MANAGER_TLS_KEY must be ` +
      "PEM files that belong together, MODEL_MANAGER_TLS_CLIENT_CA a PEM file of certificates",
    error,
  );
}
