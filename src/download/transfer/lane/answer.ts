import { parseContentLength, parseContentRange } from "../../../lib/http/content-range.ts";
import type { ResponseHead } from "../../../lib/http/response-head.ts";
import { validatorOf } from "../../../lib/http/validator.ts";
import type { ConnectionEnd } from "./lane-messages.ts";
import type { Run } from "./receiver.ts";

/** What is known of the file that answers are parts of. */
export interface AnsweredFile {
  /** Whether the whole file may come in one answer, and go on from its first byte. */
  takesWhole(): boolean;
  /** The size of the whole file and what its object is pinned by, as far as they are known. */
  readonly size: number | undefined;
  readonly validator: string | undefined;
  /** Learns what an answer is pinned by; answers what is wrong with that. */
  agree(validator: string | undefined): ConnectionEnd | undefined;
}

/**
 * Judges the head of an answer to a request for the bytes of `run`: says where its body ends, or what is wrong with it.
 * Nothing is assumed: a range must be the one that was asked for, or its beginning, of a file of the known size; the whole is
 * taken only while nothing of the file is here, and if no other range was asked for meanwhile.
 *
 * @throws Error for what is no HTTP
 */
export function judgeAnswer(
  { status, headers }: ResponseHead,
  run: Run,
  file: AnsweredFile,
  isOnly: boolean,
): { readonly bodyEnd: number } | ConnectionEnd {
  if (status !== 200 && status !== 206) return { why: "answer", status, headers };
  const { "content-length": said, "content-encoding": encoding = "identity" } = headers;
  const length = parseContentLength(said);
  if (said !== undefined && length === undefined) throw new Error("the content length is no number");
  if (encoding !== "identity" || headers["transfer-encoding"] !== undefined) return { why: "unsupported" };
  const validator = validatorOf(headers);
  if (status === 200) {
    const isOther = file.validator !== undefined && validator !== undefined && file.validator !== validator;
    if (isOther) return { why: "changed" };
    if (length === undefined) return { why: "unsupported" };
    const wrong = wrongSize(file, length);
    if (wrong !== undefined) return wrong;
    if (!isOnly || run.position !== 0 || !file.takesWhole()) return { why: "unranged" };
    return file.agree(validator) ?? { bodyEnd: length };
  }
  const range = parseContentRange(headers["content-range"]);
  if (range?.total === undefined) return { why: "unsupported" };
  const { start, end, total } = range;
  if (start !== run.position || end > run.end || (length ?? end - start) !== end - start) {
    return { why: "mismatch", message: "another range was answered than was asked for" };
  }
  return wrongSize(file, total) ?? file.agree(validator) ?? { bodyEnd: end };
}

function wrongSize({ size }: AnsweredFile, told: number): ConnectionEnd | undefined {
  if (size === undefined || size === told) return undefined;
  return { why: "mismatch", message: `${size} bytes were announced, the source has ${told}` };
}
