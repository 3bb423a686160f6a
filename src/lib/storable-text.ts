/** A text that a database can keep: NUL and halves of surrogate pairs, which it cannot, are replaced. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}
