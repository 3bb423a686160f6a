import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Alias as AliasMessage, AliasSchema } from "../../../gen/modelmanager/v1/alias_pb.ts";
import {
  type Model as ModelMessage,
  ModelSchema,
  type ModelStatus as ModelStatusMessage,
  ModelStatusSchema,
  type ModelType as ModelTypeMessage,
  ModelTypeSchema,
} from "../../../gen/modelmanager/v1/model_pb.ts";
import { invalidField } from "../../domain/errors.ts";
import {
  type Alias,
  MODEL_STATUSES,
  MODEL_TYPES,
  type Model,
  type ModelStatus,
  type ModelType,
  type NewModel,
} from "../../domain/model.ts";
import { assertModelId } from "../../domain/names.ts";
import { enumCodec } from "./enums.ts";
import { sourceFromMessage, sourceToMessage } from "./source.ts";

const types = enumCodec<ModelType, ModelTypeMessage>(ModelTypeSchema, MODEL_TYPES);
const statuses = enumCodec<ModelStatus, ModelStatusMessage>(ModelStatusSchema, MODEL_STATUSES);

/** The message of a model. */
export function modelToMessage(model: Model): ModelMessage {
  return create(ModelSchema, {
    id: model.id,
    type: types.toMessage(model.type),
    displayName: model.displayName,
    description: model.description,
    labels: model.labels,
    baseModelId: model.baseModelId,
    source: sourceToMessage(model.source),
    status: statuses.toMessage(model.status),
    latestVersion: model.latestVersion,
    versionCount: model.versionCount,
    aliases: model.aliases.map(aliasToMessage),
    createTime: timestampFromDate(model.createTime),
    updateTime: timestampFromDate(model.updateTime),
    etag: model.etag,
  });
}

/** The message of an alias. */
export function aliasToMessage({ modelId, alias, version, updateTime }: Alias): AliasMessage {
  return create(AliasSchema, { modelId, alias, version, updateTime: timestampFromDate(updateTime) });
}

/** Reads the model of a CreateModel; what every model must have is checked by the contract's rules before. */
export function newModelFromMessage(message: ModelMessage): NewModel {
  const { id, displayName, description, labels, baseModelId, source } = message;
  assertModelId("model.id", id);
  if (baseModelId) assertModelId("model.base_model_id", baseModelId);
  const type = types.fromMessage(message.type);
  if (!type) throw invalidField("model.type", "is required");
  if (!source) throw invalidField("model.source", "is required");
  return {
    id,
    type,
    displayName,
    description,
    labels,
    baseModelId,
    source: sourceFromMessage("model.source", source),
  };
}
