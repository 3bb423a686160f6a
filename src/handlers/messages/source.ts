import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Credential as CredentialMessage } from "../../../gen/modelmanager/v1/source_pb.ts";
import { type Source as SourceMessage, SourceSchema } from "../../../gen/modelmanager/v1/source_pb.ts";
import { invalidField } from "../../domain/errors.ts";
import { assertDistinctPaths, assertFilePath } from "../../domain/file-path.ts";
import type { Credential, HttpFile, Source } from "../../domain/source.ts";

/** Reads a source that a request carries in `field`, and fills in the paths that http files leave out. */
export function sourceFromMessage(field: string, { kind }: SourceMessage): Source {
  switch (kind.case) {
    case "huggingface": {
      const { repo, revision, allowPatterns, ignorePatterns, endpoint, credential } = kind.value;
      return { kind: "huggingface", repo, revision, allowPatterns, ignorePatterns, endpoint, credential };
    }
    case "http":
      return {
        kind: "http",
        files: httpFiles(`${field}.http.files`, kind.value.files),
        credential: kind.value.credential,
      };
    case "oci":
      return { kind: "oci", reference: kind.value.reference, credential: kind.value.credential };
    case "s3": {
      const { uri, endpoint, region, credential } = kind.value;
      return { kind: "s3", uri, endpoint, region, credential };
    }
    case "local":
      return { kind: "local", path: kind.value.path };
    case "upload":
      return { kind: "upload" };
    case undefined:
      throw invalidField(field, "must name a kind of source");
  }
}

/** The message of a source. */
export function sourceToMessage(source: Source): SourceMessage {
  const { kind, ...value } = source;
  return create(SourceSchema, { kind: { case: kind, value } } as MessageInitShape<typeof SourceSchema>);
}

/** What a call proves to a source with, if it says anything. */
export function credentialFromMessage(credential: CredentialMessage | undefined): Credential | undefined {
  switch (credential?.kind.case) {
    case "name":
      return { name: credential.kind.value };
    case "token":
      return { token: credential.kind.value };
    default:
      return undefined;
  }
}

function httpFiles(
  field: string,
  files: readonly { url: string; path: string; sha256: string; mirrors: string[] }[],
): HttpFile[] {
  const read = files.map(({ url, path, sha256, mirrors }, index) => {
    if (!URL.canParse(url)) throw invalidField(`${field}[${index}].url`, "must be an absolute http or https URL");
    const name = path || lastSegment(new URL(url));
    if (!path && !name) throw invalidField(`${field}[${index}].path`, "is required, since the URL names no file");
    assertFilePath(`${field}[${index}].path`, name);
    return { url, path: name, sha256: sha256.toLowerCase(), mirrors };
  });
  assertDistinctPaths(
    read.map((file) => file.path),
    (index) => `${field}[${index}].path`,
  );
  return read;
}

function lastSegment(url: URL): string {
  const segment = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
