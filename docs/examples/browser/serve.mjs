// node serve.mjs PACKAGE: this folder on http://localhost:8000 (or the port PORT), with the package as /package/.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const packageFolder = process.argv[2];
const pageFolder = path.dirname(fileURLToPath(import.meta.url));
const types = {
  ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json",
  ".wasm": "application/wasm",
};

// The file that a path of the address stands for; none outside the two folders.
function fileOf(pathname) {
  const steps = decodeURIComponent(pathname).split("/").filter((step) => step !== "");
  if (steps.includes("..") || steps.includes(".")) return undefined;
  if (steps[0] === "package") return path.join(packageFolder, ...steps.slice(1));
  return path.join(pageFolder, ...(steps.length === 0 ? ["index.html"] : steps));
}

const server = http.createServer((request, response) => {
  const file = fileOf(new URL(request.url, "http://localhost").pathname);
  const size = file && fs.statSync(file, { throwIfNoEntry: false });
  if (!size?.isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    "Content-Type": types[path.extname(file)] ?? "application/octet-stream",
    "Content-Length": size.size,
    // Browsers give threads of WebAssembly to pages alone that are isolated so.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  });
  if (request.method === "HEAD") response.end();
  else fs.createReadStream(file).pipe(response);
});
server.listen(Number(process.env.PORT ?? 8000), "localhost", () => console.log(`http://localhost:${server.address().port}`));
