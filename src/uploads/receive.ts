import { isDomainError } from "../domain/errors.ts";
import type { BlobHandler } from "../domain/ports/blob-handlers.ts";
import { answerJson } from "../lib/http/answer.ts";
import type { PortRequest, PortResponse } from "../lib/http/handler.ts";
import type { BlobUploads, Body } from "./blob-uploads.ts";
import { readPieceHeader } from "./piece-header.ts";

/**
 * Answers PUT of a blob: 201 once it is in the store, 200 if it was there before, 308 with the `Range` that is here while
 * bytes are missing, 416 with the same for a piece that does not begin at its end.
 */
export function createReceiveHandler(uploads: BlobUploads): BlobHandler {
  return async (digest, request, response) => {
    const body = bodyOf(request, response);
    try {
      const header = readPieceHeader(request.headers);
      const known = await uploads.find(digest);
      if (known !== undefined) return answerJson(request, response, { status: 200, body: { digest, size: known } });
      const { size, isComplete } =
        "piece" in header
          ? await uploads.receive(digest, header.piece, body)
          : await uploads.resume(digest, header.total);
      if (!isComplete) tellRange(response, size);
      answerJson(request, response, { status: isComplete ? 201 : 308, body: { digest, size } });
    } catch (error) {
      if (isDomainError(error, "RANGE_NOT_SATISFIABLE")) tellRange(response, Number(error.metadata.kept_bytes));
      throw error;
    }
  };
}

/** Says which bytes are here, as the header of that name in a question for them would. */
function tellRange(response: PortResponse, kept: number): void {
  if (kept > 0) response.setHeader("range", `bytes=0-${kept - 1}`);
}

function bodyOf(request: PortRequest, response: PortResponse): Body {
  const waits = request.headers.expect !== undefined;
  // Whoever is answered without being told to go on may send the body or not: nothing can follow on that connection.
  const closes = waits && request.httpVersionMajor === 1;
  if (closes) response.setHeader("connection", "close");
  return {
    field: "body",
    chunks: bytesOf(request),
    begin() {
      if (closes) response.removeHeader("connection");
      if (waits) response.writeContinue();
    },
    cut() {
      if ("stream" in request) request.stream.close();
      else request.destroy();
    },
  };
}

/** The body of a request, which must stay open behind it for the answer. Rejects if the client went away in the middle. */
async function* bytesOf(request: PortRequest): AsyncGenerator<Uint8Array> {
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } catch (cause) {
    // The network's own codes are not to be taken for those of the disk.
    throw new Error("the client went away", { cause });
  }
}
