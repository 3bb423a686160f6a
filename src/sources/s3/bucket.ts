import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import type { HttpClient } from "../outgoing/http-client.ts";
import type { AwsCredentials } from "./environment.ts";
import { createRequestHandler } from "./request-handler.ts";
import { type HandledRequest, urlOfRequest } from "./request-url.ts";
import { type AskedFor, s3Failure } from "./s3-failure.ts";

/** Where a bucket is, and what proves who asks. */
export interface BucketOptions {
  readonly bucket: string;
  /** Absent for Amazon's own. */
  readonly endpoint?: URL;
  readonly region: string;
  /** Absent to ask without a signature. */
  readonly credentials?: AwsCredentials;
}

/** A bucket that is asked through our own client. */
export interface Bucket extends AskedFor {
  /** For limits and for the log. */
  readonly host: string;
  /** Sends a command; its errors are those of `resolve` in the port of sources. */
  ask<Result>(
    signal: AbortSignal,
    work: (client: S3Client, options: { readonly abortSignal: AbortSignal }) => Promise<Result>,
    file?: string,
  ): Promise<Result>;
  /** An address that an object can be read at for a while. It is made here: nobody but who renews credentials is asked. */
  addressOf(key: string, versionId: string | undefined): Promise<URL>;
}

/** Long enough for many ranges by one address; an older one is made anew. */
const ADDRESS_SECONDS = 3600;

/** Opens a bucket. Nothing is sent yet. */
export function openBucket(http: HttpClient, options: BucketOptions): Bucket {
  const { bucket, endpoint, region, credentials } = options;
  const host = endpoint?.host ?? `${bucket}.s3.${region}.amazonaws.com`;
  const subject = `bucket '${bucket}' on ${endpoint?.host ?? "Amazon S3"}`;
  const client = new S3Client({
    region,
    endpoint: endpoint?.href,
    // Few other servers answer to a host name for each bucket.
    forcePathStyle: endpoint !== undefined,
    credentials: credentials ?? NOBODY,
    ...(credentials === undefined && { signer: UNSIGNED }),
    requestHandler: createRequestHandler(http, subject),
    // Whoever asks tries again, in its own time.
    maxAttempts: 1,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    disableS3ExpressSessionAuth: true,
  });
  const asked: AskedFor = { bucket, subject, region, anonymous: credentials === undefined };
  return {
    ...asked,
    host,
    async ask(signal, work, file) {
      signal.throwIfAborted();
      try {
        return await work(client, { abortSignal: signal });
      } catch (error) {
        signal.throwIfAborted();
        throw s3Failure(error, { ...asked, file });
      }
    },
    async addressOf(key, versionId) {
      const built = Promise.withResolvers<HandledRequest>();
      const command = new GetObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId });
      // Taken when it is built and not sent.
      command.middlewareStack.add(
        () => async (args) => {
          built.resolve(args.request as HandledRequest);
          return { response: {}, output: { $metadata: {} } };
        },
        { step: "build", priority: "low", name: "takeRequest" },
      );
      await client.send(command);
      const request = await built.promise;
      // What else it carries is for SDKs: a signed header would have to be sent as it is.
      const { host: name = request.hostname } = request.headers;
      const bare = { ...request, headers: { host: name } };
      const signer = await client.config.signer();
      if (!canPresign(signer)) return urlOfRequest(bare);
      const toSign = { ...bare, headers: { ...bare.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } };
      try {
        return urlOfRequest(await signer.presign(toSign, { expiresIn: ADDRESS_SECONDS }));
      } catch (error) {
        throw s3Failure(error, asked);
      }
    },
  };
}

interface Presigner {
  presign(request: HandledRequest, options: { readonly expiresIn: number }): Promise<HandledRequest>;
}

function canPresign(signer: object): signer is Presigner {
  return "presign" in signer;
}

/** Takes the place of the SDK's own search for credentials. */
const NOBODY = { accessKeyId: "", secretAccessKey: "" };
const UNSIGNED = { sign: async <Request>(request: Request): Promise<Request> => request };
