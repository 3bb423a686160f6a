/** What the operator configured under a name, to prove to a source that it may be read. */
export interface NamedCredential {
  /** A bearer token; it goes into no log and no message. */
  readonly token?: string;
  /** What requests to S3 are signed with; in place of a token. */
  readonly accessKey?: AccessKey;
  /** The only hosts that it may be sent to, each `host` or `host:port`; absent for any that a source names. */
  readonly hosts?: readonly string[];
}

/** A key of AWS or of a server that speaks S3. Its secret is never sent; nothing of it goes into a log or a message. */
export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of a key that was lent for a while. */
  readonly sessionToken?: string;
}

/** The credentials that the operator configured. */
export interface NamedCredentials {
  /**
   * FIELD_INVALID on `field` for a name that is not configured, and without it: it may be a secret in the wrong place.
   * STATE_INVALID if what is configured cannot be used.
   */
  find(field: string, name: string): Promise<NamedCredential>;
}
