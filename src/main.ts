#!/usr/bin/env node
const MINIMUM_NODE = 24;

if (Number.parseInt(process.versions.node, 10) < MINIMUM_NODE) {
  process.stderr.write(
    `model-manager needs Node ${MINIMUM_NODE} or newer, this is ${process.version}. In its folder, npm brings that along: ` +
      "npm start, npx model-manager\n",
  );
  process.exit(1);
}

// Bringing files to the disk is mostly waiting, of which four threads could do little at once. To be set before the first of them.
process.env.UV_THREADPOOL_SIZE ??= "16";

// Loaded only now: an older Node could not even read it.
const { run } = await import("./cli/run.ts");
process.exitCode = await run(process.argv);
