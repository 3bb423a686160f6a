import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Version as VersionMessage,
  type VersionMetadata as VersionMetadataMessage,
  VersionMetadataSchema,
  VersionSchema,
} from "../../../gen/modelmanager/v1/version_pb.ts";
import type { Version, VersionMetadata } from "../../domain/model.ts";
import { optionalBytes } from "./optional-bytes.ts";

/** The message of a version, with its files where the domain has them. */
export function versionToMessage(version: Version): VersionMessage {
  return create(VersionSchema, {
    modelId: version.modelId,
    version: version.version,
    manifestDigest: version.manifestDigest,
    resolvedRevision: version.resolvedRevision,
    totalBytes: BigInt(version.totalBytes),
    fileCount: version.fileCount,
    files: version.files?.map(({ path, size, digest }) => ({ path, size: BigInt(size), digest })),
    metadata: metadataToMessage(version.metadata),
    license: version.license,
    pinned: version.pinned,
    labels: version.labels,
    createTime: timestampFromDate(version.createTime),
    updateTime: timestampFromDate(version.updateTime),
    etag: version.etag,
    damagedFiles: [...version.damagedFiles],
    lastUsedTime: timestampFromDate(version.lastUsedTime),
  });
}

function metadataToMessage(metadata: VersionMetadata): VersionMetadataMessage {
  const { parameterCount, estimatedMemoryBytes, unsafeFiles, baseModels, tags, ...rest } = metadata;
  return create(VersionMetadataSchema, {
    ...rest,
    parameterCount: optionalBytes(parameterCount),
    estimatedMemoryBytes: optionalBytes(estimatedMemoryBytes),
    unsafeFiles: [...(unsafeFiles ?? [])],
    baseModels: [...(baseModels ?? [])],
    tags: [...(tags ?? [])],
  });
}
