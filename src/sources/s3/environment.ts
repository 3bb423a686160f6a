import { S3Client } from "@aws-sdk/client-s3";
import type { Logger } from "../../domain/logger.ts";
import type { AccessKey } from "../../domain/ports/credentials.ts";

/** What requests are signed with: a key, or whoever renews one. */
export type AwsCredentials = AccessKey | S3Client["config"]["credentials"];

/** What the manager's environment says of S3. */
export interface S3Defaults {
  /** The server that is asked where a source names none; absent for Amazon's. */
  readonly endpoint?: string;
  readonly region: string;
}

/** The same with the credentials that the environment has. */
export interface S3Environment extends S3Defaults {
  /**
   * What AWS's own tools would use: the variables `AWS_…`, the files in `~/.aws`, a role of the machine or the pod. Undefined if
   * there is none of them.
   */
  credentials(): Promise<AwsCredentials | undefined>;
}

/** Reads the environment when it is first asked for credentials; those that end are renewed. */
export function createS3Environment(defaults: S3Defaults, log: Logger): S3Environment {
  let provider: S3Client["config"]["credentials"] | undefined;
  return {
    ...defaults,
    async credentials() {
      if (provider === undefined) {
        provider = new S3Client({ region: defaults.region }).config.credentials;
      }
      try {
        await provider();
        return provider;
      } catch (error) {
        log.debug("the environment has no credentials for S3: it is asked without", { error });
        return undefined;
      }
    },
  };
}
