import { styleText } from "node:util";

/** Says what comes now. */
export function step(text: string): void {
  console.log(`\n${styleText("bold", text)}`);
}

/** Says something of it. */
export function say(text: string): void {
  console.log(`  ${text}`);
}
