import { extname } from "node:path/posix";

type Kind = "weight" | "weight.config" | "doc" | "code" | "dataset";

const KIND_BY_EXTENSION: ReadonlyMap<string, Kind> = new Map(
  (
    [
      ["weight.config", "json yaml yml toml ini cfg conf txt model vocab bpe tiktoken jinja jinja2"],
      ["doc", "md rst pdf html png jpg jpeg gif svg webp"],
      ["code", "py pyi ipynb sh js ts c cc cpp h hpp cu go rs lua"],
      ["dataset", "csv tsv jsonl ndjson parquet arrow"],
    ] as const
  ).flatMap(([kind, extensions]) => extensions.split(" ").map((extension): [string, Kind] => [`.${extension}`, kind])),
);

/** Files that are read by people, whatever their extension. */
const DOCUMENT_NAME = /(?:^|\/)(?:readme|licen[cs]e|notice|copying|changelog|usage_policy)[^/]*$/i;

/** The media type of ModelPack for a file that is a layer as it is; what is not known is taken for weights. */
export function layerMediaType(path: string): string {
  const kind = DOCUMENT_NAME.test(path) ? "doc" : (KIND_BY_EXTENSION.get(extname(path).toLowerCase()) ?? "weight");
  return `application/vnd.cncf.model.${kind}.v1.raw`;
}
