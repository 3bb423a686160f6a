import type { PortRequest, PortResponse } from "../../lib/http/handler.ts";
import type { Digest } from "../digest.ts";

/**
 * Answers a request for one blob, of either HTTP version. It rejects with a `DomainError`, before anything of the answer is
 * sent, for whoever answers errors; headers that it has set by then go with that. Of a client that went away, with anything.
 */
export type BlobHandler = (digest: Digest, request: PortRequest, response: PortResponse) => Promise<void>;
