import { execFileSync } from "node:child_process";
import path from "node:path";
import { data, temporaryFolder } from "./folders.js";

export const exporter = process.env.Q3VL_EXPORT_BINARY;
if (!exporter) throw new Error("Q3VL_EXPORT_BINARY must name the program qwen3vl-export");

// The package that the exporter makes of tests/data/CHECKPOINT, in a folder that is gone when the process ends.
export function exportPackage(checkpoint, flags) {
  const output = path.join(temporaryFolder(), "package");
  execFileSync(exporter, [path.join(data, checkpoint, "checkpoint"), "-o", output, "--quiet", ...flags]);
  return output;
}
