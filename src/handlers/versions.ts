import type { ServiceImpl } from "@connectrpc/connect";
import type { ImportModelRequest, ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { Version as VersionMessage } from "../../gen/modelmanager/v1/version_pb.ts";
import { parseDigest } from "../domain/digest.ts";
import { invalidField } from "../domain/errors.ts";
import { assertFilePath } from "../domain/file-path.ts";
import type { VersionChanges } from "../domain/model.ts";
import { parseModelRef } from "../domain/model-ref.ts";
import { assertAlias, assertModelId } from "../domain/names.ts";
import type { Models } from "../domain/ports/models.ts";
import type { ImportPart, VersionMaker } from "../domain/ports/version-maker.ts";
import { aliasToMessage } from "./messages/model.ts";
import { versionToMessage } from "./messages/version.ts";
import { pageFromMessage, pageToMessage } from "./pages.ts";
import { type MutableFields, selectChanges } from "./update-mask.ts";

type VersionMethods = Pick<
  ServiceImpl<typeof ModelService>,
  | "importModel"
  | "createVersion"
  | "listVersions"
  | "getVersion"
  | "updateVersion"
  | "deleteVersion"
  | "setAlias"
  | "deleteAlias"
>;

const MUTABLE: MutableFields<VersionMessage, VersionChanges> = {
  pinned: {
    isSet: (version) => version.pinned,
    read: ({ pinned }) => ({ pinned }),
  },
  labels: {
    isSet: (version) => Object.keys(version.labels).length > 0,
    read: ({ labels }) => ({ labels }),
  },
};

/** The part of ModelService that reads and changes versions and aliases. */
export function versionMethods(models: Models, versions: VersionMaker): VersionMethods {
  return {
    async importModel(requests, { signal }) {
      return { version: versionToMessage(await versions.import(partsOf(requests), signal)) };
    },

    async createVersion({ modelId, files, ...rest }, { signal }) {
      assertModelId("model_id", modelId);
      const wanted = files.map(({ path, digest }, index) => {
        assertFilePath(`files[${index}].path`, path);
        return { path, digest: parseDigest(`files[${index}].digest`, digest) };
      });
      return { version: versionToMessage(await versions.create(modelId, { ...rest, files: wanted }, signal)) };
    },

    async listVersions(request) {
      assertModelId("model_id", request.modelId);
      const page = await models.listVersions(request.modelId, pageFromMessage(request));
      return { versions: page.items.map(versionToMessage), ...pageToMessage(page) };
    },

    async getVersion({ modelRef }) {
      return { version: versionToMessage(await models.getVersion(parseModelRef("model_ref", modelRef))) };
    },

    async updateVersion({ version, updateMask }) {
      if (!version) throw invalidField("version", "is required");
      assertModelId("version.model_id", version.modelId);
      const changes = selectChanges(version, updateMask, MUTABLE);
      const updated = await models.updateVersion(version.modelId, version.version, changes, version.etag);
      return { version: versionToMessage(updated) };
    },

    async deleteVersion({ modelId, version, etag }) {
      assertModelId("model_id", modelId);
      await models.deleteVersion(modelId, version, etag);
      return {};
    },

    async setAlias({ modelId, alias, version }) {
      assertModelId("model_id", modelId);
      assertAlias("alias", alias);
      return { alias: aliasToMessage(await models.setAlias(modelId, alias, version)) };
    },

    async deleteAlias({ modelId, alias }) {
      assertModelId("model_id", modelId);
      assertAlias("alias", alias);
      await models.deleteAlias(modelId, alias);
      return {};
    },
  };
}

async function* partsOf(requests: AsyncIterable<ImportModelRequest>): AsyncGenerator<ImportPart> {
  for await (const { part } of requests) {
    if (part.case === "header") {
      const { modelId, path, size, digest } = part.value;
      assertModelId("header.model_id", modelId);
      assertFilePath("header.path", path);
      yield {
        kind: "header",
        modelId,
        file: { path, size: Number(size), digest: parseDigest("header.digest", digest) },
      };
    } else if (part.case === "chunk") yield { kind: "chunk", bytes: part.value };
  }
}
