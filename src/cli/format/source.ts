import type { Source } from "../../../gen/modelmanager/v1/source_pb.ts";

/** A source on one line, in the form that `pull` takes where there is one: `hf:org/name@rev`, a URL, a path. */
export function formatSource(source: Source | undefined): string {
  const kind = source?.kind;
  switch (kind?.case) {
    case "huggingface":
      return `hf:${kind.value.repo}${kind.value.revision === "" ? "" : `@${kind.value.revision}`}`;
    case "http": {
      const [first, ...rest] = kind.value.files;
      const url = first === undefined ? "http" : withoutQuery(first.url);
      return rest.length === 0 ? url : `${url} and ${rest.length} more`;
    }
    case "oci":
      return `oci:${kind.value.reference}`;
    case "s3":
      return kind.value.uri;
    case "local":
      return kind.value.path;
    case "upload":
      return "upload";
    default:
      return "";
  }
}

/** Queries of URLs often carry signatures. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/, "");
}
