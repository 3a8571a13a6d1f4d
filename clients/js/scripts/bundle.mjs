// Builds `dist/tidegate.min.js`, the client as one minified module for pages without a build step, and fails when it has
// grown past what a page should have to load.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const GZIP_BYTES_MAX = 8 * 1024;

const { name, version, license } = JSON.parse(await readFile("package.json", "utf8"));
const { outputFiles } = await build({
  entryPoints: ["src/index.ts"],
  outfile: "dist/tidegate.min.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: `/* ${name} ${version}, ${license}. Built from clients/js by "make bundle": do not edit. */` },
  write: false,
});
const [bundle] = outputFiles;
const gzipBytes = gzipSync(bundle.contents, { level: 9 }).length;
const size = `${bundle.contents.length} bytes, ${gzipBytes} gzipped (at most ${GZIP_BYTES_MAX})`;
if (gzipBytes >= GZIP_BYTES_MAX) {
  console.error(`the bundle is too large: ${size}`);
  process.exit(1);
}

await mkdir("dist", { recursive: true });
await writeFile("dist/tidegate.min.js", bundle.contents);
console.log(`dist/tidegate.min.js: ${size}`);
