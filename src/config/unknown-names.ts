const PREFIX = "MODEL_MANAGER_";

/**
 * What Kubernetes sets in every container for a Service that is called `model-manager` or starts with that: its address
 * in the old style of Docker links.
 */
const KUBERNETES_NAME = /^MODEL_MANAGER_(?:SERVICE_|PORT_|\w+_SERVICE_(?:HOST|PORT)|\w+_PORT_\d+_(?:TCP|UDP|SCTP))/;
const KUBERNETES_VALUE = /^(?:tcp|udp|sctp):\/\//;

/** Whether Kubernetes, not the operator, set this variable. */
export function isInjectedByKubernetes(name: string, value: string): boolean {
  return KUBERNETES_NAME.test(name) || (/^MODEL_MANAGER_(?:\w+_)?PORT$/.test(name) && KUBERNETES_VALUE.test(value));
}

/** Whether a variable has our prefix and is none that we know. */
export function isUnknown(name: string, known: readonly string[]): boolean {
  return name.startsWith(PREFIX) && !known.includes(name);
}

/** The known names that somebody may have meant by `name`, the nearest first, at most three. */
export function nearNames(name: string, known: readonly string[]): string[] {
  return known
    .map((candidate) => ({ candidate, distance: distanceOf(bare(name), bare(candidate)) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, Math.ceil(bare(candidate).length / 3)))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

function bare(name: string): string {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
}

/** The Levenshtein distance: how many characters must be put in, taken out or changed. */
function distanceOf(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, charA] of [...a].entries()) {
    const row = [i + 1];
    for (const [j, charB] of [...b].entries()) {
      const changed = (previous[j] ?? 0) + (charA === charB ? 0 : 1);
      row.push(Math.min(changed, (previous[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
