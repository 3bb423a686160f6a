import { z } from "zod";
import { DomainError, invalidField } from "../../domain/errors.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import type { Headers } from "../../lib/http/validator.ts";
import { networkFailure, statusFailure } from "../outgoing/failures.ts";
import { RequestFailed } from "./request-handler.ts";

/** What is told of errors: where was asked, and for what. */
export interface AskedFor {
  readonly bucket: string;
  /** The bucket's name and its server's. */
  readonly subject: string;
  readonly region: string;
  /** Whether nothing proves who asks. */
  readonly anonymous: boolean;
  /** The file or the object, as messages name it; absent for the bucket. */
  readonly file?: string;
}

/** A bucket that lies in another region than it was looked for in. */
export class WrongRegion extends DomainError {
  readonly region: string;

  constructor({ bucket, region }: AskedFor, actual: string) {
    const rule = `must be '${actual}': the bucket '${bucket}' is there, not in '${region}'`;
    const { message, violations } = invalidField("source.s3.region", rule);
    super("FIELD_INVALID", message, { violations });
    this.region = actual;
  }
}

/** An error of the SDK as far as it is of use. */
const SDK_ERROR = z.object({
  name: z.string(),
  Region: z.string().optional(),
  $metadata: z.object({ httpStatusCode: z.number().optional() }).optional(),
  $response: z
    .object({ statusCode: z.number(), headers: z.record(z.string(), z.string()) })
    .optional()
    .catch(undefined),
});

const REGION = /^[a-z0-9-]{1,64}$/;

const GIVE_CREDENTIALS =
  "give the source a credential, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the manager";

/** What an error of the SDK means. Those of our own client stay what they are. */
export function s3Failure(error: unknown, asked: AskedFor): unknown {
  if (error instanceof RequestFailed) return error.cause;
  if (error instanceof Error && error.name.endsWith("ProviderError")) {
    return new SourceUnavailable(`the credentials for ${asked.subject} cannot be had now`, { cause: error });
  }
  const { subject, file } = asked;
  const said = SDK_ERROR.safeParse(error).data;
  const status = said?.$response?.statusCode ?? said?.$metadata?.httpStatusCode ?? 0;
  const headers: Headers = said?.$response?.headers ?? {};
  if (said === undefined || status < 300) {
    // A body that broke off is a fault of the network.
    const fault = networkFailure(error, subject);
    if (fault instanceof DomainError) return fault;
    return new DomainError("SOURCE_UNAVAILABLE", `${subject} does not answer as S3 does`, { cause: error });
  }
  const metadata = { http_status: String(status) };
  const options = { cause: error, metadata };
  const region = headers["x-amz-bucket-region"] ?? said.Region;
  const misplaced = status < 400 || status === 400 || status === 403;
  if (misplaced && region !== undefined && REGION.test(region) && region !== asked.region) {
    return new WrongRegion(asked, region);
  }
  if (status < 400) {
    const message = `${subject} has to be asked at another endpoint or in another region than '${asked.region}' (${status})`;
    return new DomainError("SOURCE_UNAVAILABLE", message, options);
  }
  if (said.name === "NoSuchBucket" || (status === 404 && file === undefined)) {
    return new DomainError("SOURCE_NOT_FOUND", `there is no ${subject}`, options);
  }
  if (status === 401 || status === 403) {
    const message = asked.anonymous
      ? `${file ?? subject} may not be read without credentials (${status}): ${GIVE_CREDENTIALS}`
      : `${file ?? subject} may not be read with the credentials given (${status})`;
    return new DomainError("SOURCE_FORBIDDEN", message, options);
  }
  return statusFailure(status, headers, file ?? subject);
}
