import type { ServiceImpl } from "@connectrpc/connect";
import type { Model as ModelMessage } from "../../gen/modelmanager/v1/model_pb.ts";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { invalidField } from "../domain/errors.ts";
import type { ModelChanges } from "../domain/model.ts";
import { parseModelRef } from "../domain/model-ref.ts";
import { assertModelId } from "../domain/names.ts";
import { MODEL_FILTER_FIELDS, parseFilter } from "../domain/parse-filter.ts";
import type { NamedCredentials } from "../domain/ports/credentials.ts";
import type { Feeds } from "../domain/ports/feeds.ts";
import { MODEL_ORDER_FIELDS, type Models } from "../domain/ports/models.ts";
import type { Source } from "../domain/source.ts";
import { eventToMessage, sequenceFromMessage } from "./messages/event.ts";
import { modelToMessage, newModelFromMessage } from "./messages/model.ts";
import { sourceFromMessage } from "./messages/source.ts";
import { versionToMessage } from "./messages/version.ts";
import { orderFromMessage, pageFromMessage, pageToMessage } from "./pages.ts";
import { type MutableFields, selectChanges } from "./update-mask.ts";

type ModelMethods = Pick<
  ServiceImpl<typeof ModelService>,
  "createModel" | "getModel" | "listModels" | "updateModel" | "deleteModel" | "watchModels"
>;

const MUTABLE: MutableFields<ModelMessage, ModelChanges> = {
  display_name: {
    isSet: (model) => model.displayName !== "",
    read: ({ displayName }) => ({ displayName }),
  },
  description: {
    isSet: (model) => model.description !== "",
    read: ({ description }) => ({ description }),
  },
  labels: {
    isSet: (model) => Object.keys(model.labels).length > 0,
    read: ({ labels }) => ({ labels }),
  },
  source: {
    isSet: (model) => model.source !== undefined,
    read: ({ source }) => {
      if (!source) throw invalidField("model.source", "is required, since update_mask names it");
      return { source: sourceFromMessage("model.source", source) };
    },
  },
};

/** The part of ModelService that registers, reads, changes and watches models. */
export function modelMethods(models: Models, feeds: Feeds, credentials: NamedCredentials): ModelMethods {
  async function assertCredential(source: Source | undefined): Promise<void> {
    if (source !== undefined && "credential" in source && source.credential !== "") {
      await credentials.find(`model.source.${source.kind}.credential`, source.credential);
    }
  }

  return {
    async createModel({ model, requestId, validateOnly }) {
      if (!model) throw invalidField("model", "is required");
      const wanted = newModelFromMessage(model);
      await assertCredential(wanted.source);
      const created = await models.create(wanted, { requestId, validateOnly });
      return { model: modelToMessage(created) };
    },

    async getModel({ modelRef }) {
      const { model, version } = await models.resolve(parseModelRef("model_ref", modelRef));
      return { model: modelToMessage(model), version: version && versionToMessage(version) };
    },

    async listModels(request) {
      const page = await models.list({
        ...pageFromMessage(request),
        filter: parseFilter(request.filter, MODEL_FILTER_FIELDS),
        order: orderFromMessage(request.orderBy, MODEL_ORDER_FIELDS),
      });
      return { models: page.items.map(modelToMessage), ...pageToMessage(page) };
    },

    async updateModel({ model, updateMask }) {
      if (!model) throw invalidField("model", "is required");
      assertModelId("model.id", model.id);
      const changes = selectChanges(model, updateMask, MUTABLE);
      await assertCredential(changes.source);
      const updated = await models.update(model.id, changes, model.etag);
      return { model: modelToMessage(updated) };
    },

    async deleteModel({ modelId, etag, force }) {
      assertModelId("model_id", modelId);
      await models.delete(modelId, { etag, force });
      return {};
    },

    async *watchModels(request, { signal }) {
      const filter = parseFilter(request.filter, MODEL_FILTER_FIELDS);
      const afterSequence = sequenceFromMessage(request.afterSequence);
      for await (const event of feeds.watchModels({ filter, afterSequence, signal })) {
        yield { event: eventToMessage(event) };
      }
    },
  };
}
