/** Reads a UUID, which callers may write in either case: lower case is the one that the rest of the service knows it by. */
export function uuidFromMessage(text: string): string {
  return text.toLowerCase();
}
