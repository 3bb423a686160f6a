import { Option } from "commander";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";

/** The types by the names that the command line uses: `llm`, `speech-to-text`. */
const TYPES: ReadonlyMap<string, ModelType> = new Map(
  Object.entries(ModelType)
    .filter(([, type]) => type !== ModelType.UNSPECIFIED)
    .map(([name, type]) => [name.toLowerCase().replaceAll("_", "-"), type]),
);

/** `--type`, by the name that the command line uses; default `llm`. */
export function modelTypeOption(): Option {
  return new Option("--type <type>", "what a new model does").choices([...TYPES.keys()]).default("llm");
}

/** The type that {@link modelTypeOption} was given. */
export function modelTypeOf(name: string): ModelType {
  return TYPES.get(name) ?? ModelType.UNSPECIFIED;
}
