import { z } from "zod";
import { storableText } from "../../lib/storable-text.ts";
import type { Descriptor, Manifest } from "./manifest.ts";
import { parseJson } from "./read-body.ts";

const LICENSES = "org.opencontainers.image.licenses";
const MODEL_PACK_CONFIG = /^application\/vnd\.(?:cncf|cnai)\.model\.config\.v\d+\+json$/;
const KIT_CONFIG = /^application\/vnd\.kitops\.modelkit\.config\.v\d+\+json$/;
/** More than any configuration takes. */
const MAX_CONFIG_BYTES = 4 << 20;
const MAX_CHARACTERS = 256;

const TEXT = z.string().optional().catch(undefined);
const CONFIG = z.object({
  descriptor: z
    .object({ licenses: z.array(z.string()).optional().catch(undefined) })
    .optional()
    .catch(undefined),
  package: z.object({ license: TEXT }).optional().catch(undefined),
  model: z.object({ license: TEXT }).optional().catch(undefined),
});

/**
 * The license of an artifact: of its annotation, or else of the configuration of ModelPack (`descriptor.licenses`) or KitOps
 * (of the model, or else of the package), which `read` reads. Empty if none is named.
 */
export async function licenseOf(
  { annotations, config }: Manifest,
  read: (config: Descriptor) => Promise<Buffer>,
): Promise<string> {
  const license = annotations?.[LICENSES] ?? (await configured(config, read)) ?? "";
  return storableText(license).slice(0, MAX_CHARACTERS);
}

async function configured(
  config: Descriptor,
  read: (config: Descriptor) => Promise<Buffer>,
): Promise<string | undefined> {
  const { mediaType, size } = config;
  const isKnown = MODEL_PACK_CONFIG.test(mediaType) || KIT_CONFIG.test(mediaType);
  if (!isKnown || size > MAX_CONFIG_BYTES) return undefined;
  // What is no such configuration names no license; the artifact can be had all the same.
  const { descriptor, model, package: kit } = CONFIG.safeParse(parseJson(await read(config))).data ?? {};
  const licenses = descriptor?.licenses ?? [];
  return licenses.length > 0 ? licenses.join(" AND ") : (model?.license ?? kit?.license);
}
