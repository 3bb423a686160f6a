import { mapConcurrently } from "../lib/map-concurrently.ts";
import { isPickle } from "./pickle.ts";
import type { Reading } from "./reading.ts";

const CONCURRENCY = 8;
/** Of more files than this, those are looked into that are named as pickles are. */
const MAX_FILES = 2000;
const MAX_TOLD = 200;
const NAMED_AS_PICKLES = /\.(?:bin|pt|pth|pth\.tar|ckpt|pkl|pickle|joblib|dill|npy|npz|mar|nemo)$/i;

/** The paths of files that can run code when loaded, sorted. */
export async function findUnsafeFiles(reading: Reading): Promise<string[]> {
  const { files, signal } = reading;
  const first = files.toSorted((a, b) => Number(NAMED_AS_PICKLES.test(b.path)) - Number(NAMED_AS_PICKLES.test(a.path)));
  const checked = first.slice(0, MAX_FILES);
  if (checked.length < files.length) {
    reading.note(`of ${files.length} files ${MAX_FILES} were searched for pickles`);
  }
  const found = await mapConcurrently(checked, CONCURRENCY, signal, async (file) => ({
    path: file.path,
    unsafe: (await reading.attempt(file, isPickle)) ?? false,
  }));
  const paths = found.filter(({ unsafe }) => unsafe).map(({ path }) => path);
  if (paths.length > MAX_TOLD) reading.note(`${paths.length} files are pickles, of which ${MAX_TOLD} are named`);
  return paths.sort().slice(0, MAX_TOLD);
}
